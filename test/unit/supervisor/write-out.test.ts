import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expand } from '../../../src/supervisor/expand.ts';
import { writeOutVariables } from '../../../src/supervisor/write-out.ts';

const ENVIRONMENT = { HOME: '/root', RATE: '100%', PAIR: 'a;b', WIDE: 'x', SECRET: 'se\ncret', SIGN: 'a ;b' };

function writeOut(key: string, value: string) {
  const { settings, names } = writeOutVariables('app', [{ key, value, line: 3 }], ENVIRONMENT);
  return { value: settings[0]?.value ?? '', names };
}

test('a variable of supervisord is written out with its value, and named', () => {
  assert.deepEqual(writeOut('command', 'run %(ENV_HOME)s/x %(program_name)s 5%%'), {
    value: 'run /root/x %(program_name)s 5%%',
    names: ['HOME'],
  });
  assert.deepEqual(writeOut('command', 'run %%(ENV_HOME)s'), { value: 'run %%(ENV_HOME)s', names: [] });
});

test('what is written out means what the variable meant: % is doubled, in log files twice', () => {
  const read = (text: string): string => {
    const expanded = expand(text, {});
    assert.ok(expanded.ok);
    return expanded.text;
  };
  assert.equal(read(writeOut('directory', '/d/%(ENV_RATE)s').value), '/d/100%');
  assert.equal(read(read(writeOut('stdout_logfile', '/d/%(ENV_RATE)s').value)), '/d/100%');
  assert.equal(read(writeOut('command', 'x %(ENV_WIDE)4s').value), 'x    x');
});

test("what the program's own environment sets stays a variable, except in that option itself", () => {
  const settings = [
    { key: 'command', value: 'run %(ENV_HOME)s %(ENV_WIDE)s' },
    { key: 'environment', value: 'HOME="%(ENV_HOME)s/app"' },
  ];
  const written = writeOutVariables('app', settings, ENVIRONMENT);
  assert.deepEqual(
    written.settings.map(({ value }) => value),
    ['run %(ENV_HOME)s x', 'HOME="/root/app"'],
  );
  assert.deepEqual(written.names, ['HOME', 'WIDE']);
});

test('a value that no entry can hold is refused by the name of its variable, and is not shown', () => {
  for (const [name, value] of Object.entries({ SECRET: 'cret', SIGN: 'a ;b' })) {
    assert.throws(
      () => writeOut('command', `run %(ENV_${name})s`),
      (error: Error) => {
        assert.match(error.message, new RegExp(`line 3: command uses ${name} of supervisord's environment`));
        return !error.message.includes(value);
      },
    );
  }
});
