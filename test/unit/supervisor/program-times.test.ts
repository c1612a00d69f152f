import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertProgramTimes } from '../../../src/supervisor/program-times.ts';

const text = (line: string): string => `[program:a]\ncommand = /bin/true\n${line}\n`;

test('what supervisor.conf sets is refused by its line, and a default of supervisord is not', () => {
  for (const [key, value] of [
    ['startsecs', '6'],
    ['stopwaitsecs', '10'],
  ] as const) {
    const settings = [{ key, value, line: 3 }];
    assert.throws(
      () => assertProgramTimes('a', text(`${key} = ${value}`), settings, 5),
      new RegExp(`line 3: ${key} is '${value}', expected at most 5`),
    );
    assertProgramTimes('a', text(`${key} = ${value}`), settings, 10);
  }
  // stopwaitsecs is 10 where nobody says otherwise.
  assertProgramTimes('a', text(''), [], 5);
  assertProgramTimes('a', text(''), [{ key: 'command', value: '/bin/true', line: 2 }], 5);
});
