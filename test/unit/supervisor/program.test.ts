import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GweError } from '../../../src/base/errors.ts';
import { isOwnProgram, programMarker, renderProgram } from '../../../src/supervisor/program.ts';

type ProgramDefaults = Parameters<typeof renderProgram>[2];

const DEFAULTS = { logDirectory: '/var/log' };

function entryOf(app: string, source: string, defaults: ProgramDefaults = DEFAULTS): string[] {
  const rendered = renderProgram(app, source, defaults);
  const [marker, ...lines] = rendered.text.split('\n');
  assert.equal(marker, programMarker(app));
  assert.equal(lines.pop(), '');
  return lines;
}

function refusal(source: string): string {
  try {
    renderProgram('app', source, DEFAULTS);
  } catch (error) {
    assert.ok(error instanceof GweError);
    assert.equal(error.code, 'SUPERVISOR_PROGRAM_INVALID');
    return error.message;
  }
  assert.fail('not refused');
}

test('vector 39: the coffee_reporter example gets the defaults under its command', () => {
  assert.deepEqual(
    entryOf('coffee_reporter', '[supervisord]\ncommand = python -u /usr/local/bin/report_coffee.py'),
    [
      '[program:coffee_reporter]',
      'command = python -u /usr/local/bin/report_coffee.py',
      'redirect_stderr = true',
      'stdout_logfile_maxbytes = 200KB',
      'stdout_logfile_backups = 1',
      'stdout_logfile = /var/log/coffee_reporter.log',
      'killasgroup = true',
    ],
  );
});

test('vector 40: of two environment options the last one counts, and a warning names the line', () => {
  const source =
    '[supervisord]\ncommand = python sine.py\nenvironment = A=1\nenvironment = PYTHONUNBUFFERED=NONEMPTYSTRING\n';
  const rendered = renderProgram('sine', source, DEFAULTS);
  assert.match(rendered.text, /^environment = PYTHONUNBUFFERED=NONEMPTYSTRING$/m);
  assert.doesNotMatch(rendered.text, /A=1/);
  assert.deepEqual(
    rendered.warnings.map(({ kind, line }) => ({ kind, line })),
    [{ kind: 'duplicate', line: 4 }],
  );
});

test('vector 41: an option without spaces around = is read', () => {
  const lines = entryOf('th02', '[supervisord]\ncommand=/usr/local/bin/th02.py\n');
  assert.deepEqual(lines.slice(0, 2), ['[program:th02]', 'command = /usr/local/bin/th02.py']);
});

test('an option of the app takes the place of the default, every other passes through in order', () => {
  const source =
    '[supervisord]\nstartsecs: 5\nstdout_logfile = /tmp/x.log\ncommand = a\nredirect_stderr=false\npriority = 3';
  assert.deepEqual(entryOf('app', source), [
    '[program:app]',
    'command = a',
    'redirect_stderr = false',
    'stdout_logfile_maxbytes = 200KB',
    'stdout_logfile_backups = 1',
    'stdout_logfile = /tmp/x.log',
    'killasgroup = true',
    'startsecs = 5',
    'priority = 3',
  ]);
});

test('a kill takes the whole group unless the app says otherwise, and TERM goes to its parent alone', () => {
  const options = (text: string): string[] =>
    entryOf('app', `[supervisord]\ncommand = a\n${text}`).filter((line) => line.includes('asgroup'));
  assert.deepEqual(options(''), ['killasgroup = true']);
  assert.deepEqual(options('killasgroup = false'), ['killasgroup = false']);
  assert.deepEqual(options('stopasgroup = true'), ['stopasgroup = true']);
  assert.deepEqual(options('stopasgroup = false'), ['stopasgroup = false']);
});

test('comments, CRLF, a byte order mark and upper-case keys are read, and %(...)s stays as it is', () => {
  const source = '\uFEFF; head\r\n[supervisord]\r\n# note\r\nCommand = run %(program_name)s ; end\r\n';
  assert.equal(entryOf('app', source)[1], 'command = run %(program_name)s');
});

test('a value over several lines keeps its lines, indented so that none can start a section', () => {
  const source = '[supervisord]\ncommand = sh -c "\n  echo a\n  [program:evil]\n  command = x"\n';
  assert.deepEqual(entryOf('app', source).slice(0, 5), [
    '[program:app]',
    'command = sh -c "',
    '\techo a',
    '\t[program:evil]',
    '\tcommand = x"',
  ]);
});

test('what supervisord takes for a comment after # is cut with a warning', () => {
  const { warnings, text } = renderProgram(
    'app',
    '[supervisord]\ncommand = a\nstartsecs = 5 # seconds',
    DEFAULTS,
  );
  assert.match(text, /^startsecs = 5$/m);
  assert.deepEqual(
    warnings.map(({ kind, line }) => [kind, line]),
    [['comment', 3]],
  );
});

test('[program:x] is taken for [supervisord], with a warning that names line and remedy', () => {
  const { warnings, text } = renderProgram('app', '\n[program:other]\ncommand = a', DEFAULTS);
  assert.match(text, /^\[program:app\]$/m);
  assert.doesNotMatch(text, /other/);
  assert.deepEqual(
    warnings.map(({ kind, line }) => [kind, line]),
    [['section-name', 2]],
  );
  assert.match(warnings[0]?.message ?? '', /line 2: section \[program:other\].*write \[supervisord\]/);
});

test('without a command the entry gets the placeholder that fails, and a warning', () => {
  const { warnings, text } = renderProgram('app', '[supervisord]\n', DEFAULTS);
  assert.match(text, /^command = command$/m);
  assert.deepEqual(
    warnings.map(({ kind }) => kind),
    ['no-command'],
  );
});

test('an option that supervisord does not know passes with a warning', () => {
  const { warnings, text } = renderProgram('app', '[supervisord]\ncommand = a\nautorestrat = true', DEFAULTS);
  assert.match(text, /^autorestrat = true$/m);
  assert.deepEqual(
    warnings.map(({ kind, line }) => [kind, line]),
    [['unknown-option', 3]],
  );
});

const FILES = ['run.sh', 'main.py', 'bin/tool', 'a b.py'];
const ON_GATEWAY: ProgramDefaults = {
  ...DEFAULTS,
  directory: '/var/opt/gwe/app',
  dataDirectory: '/var/opt/gwe/app',
  version: { directory: '/opt/gwe/apps/app/current', has: (path) => FILES.includes(path) },
};

/** The command that supervisord gets, and the kinds of the warnings about it. */
function commandOf(command: string, more = ''): [string, string[]] {
  const { settings, warnings } = renderProgram(
    'app',
    `[supervisord]\ncommand = ${command}\n${more}`,
    ON_GATEWAY,
  );
  return [settings.find(({ key }) => key === 'command')?.value ?? '', warnings.map(({ kind }) => kind)];
}

test('the program runs in its data directory unless the app names another, and learns of it either way', () => {
  const given = entryOf('app', '[supervisord]\ncommand = /bin/x', ON_GATEWAY);
  assert.ok(given.includes('directory = /var/opt/gwe/app'));
  assert.ok(given.includes('environment = GWE_DATA_DIR="/var/opt/gwe/app"'));
  const named = entryOf(
    'app',
    '[supervisord]\ncommand = /bin/x\ndirectory = /srv\nenvironment = A="1",B=2',
    ON_GATEWAY,
  );
  assert.ok(named.includes('directory = /srv'));
  assert.ok(named.includes('environment = GWE_DATA_DIR="/var/opt/gwe/app",A="1",B=2'));
});

test('./x in a command means the file of the version, wherever in the command it stands', () => {
  const current = '/opt/gwe/apps/app/current';
  assert.deepEqual(commandOf('./run.sh --fast'), [`${current}/run.sh --fast`, ['relative-command']]);
  assert.deepEqual(commandOf('./made-by-install'), [`${current}/made-by-install`, ['relative-command']]);
  assert.deepEqual(commandOf('python3 -u ./main.py --db ./own.db'), [
    `python3 -u ${current}/main.py --db ./own.db`,
    ['relative-command'],
  ]);
  assert.deepEqual(commandOf('/bin/sh -c "exec ./bin/tool --main=./main.py"'), [
    `/bin/sh -c "exec ${current}/bin/tool --main=${current}/main.py"`,
    ['relative-command'],
  ]);
});

test('./x is left alone where it means something else: behind cd, beside a directory that the app names, in the data', () => {
  for (const command of ['/bin/sh -c "cd /srv && ./run.sh"', '/bin/sh -c "./own.sh"', 'tool ../main.py'])
    assert.deepEqual(commandOf(command), [command, []]);
  assert.deepEqual(commandOf('python3 ./main.py', 'directory = /srv'), ['python3 ./main.py', []]);
});

test('a word of the command that is a file of the version gets a warning that names it, without ./', () => {
  assert.deepEqual(commandOf('python3 main.py'), ['python3 main.py', ['version-file']]);
  assert.deepEqual(commandOf('run.sh --tool bin/tool'), [
    'run.sh --tool bin/tool',
    ['version-file', 'version-file'],
  ]);
  assert.deepEqual(commandOf('python3 main.py', 'directory = /srv'), ['python3 main.py', []]);
  assert.deepEqual(commandOf('python3 /srv/main.py other.py'), ['python3 /srv/main.py other.py', []]);
});

test('no supervisor.conf means no program', () => {
  assert.equal(renderProgram('app', undefined, DEFAULTS), undefined);
});

test('a file that is not one section of options is refused with line and expectation', () => {
  assert.match(refusal('command = a'), /line 1: 'command' stands before any \[section\]/);
  assert.match(refusal('[supervisord]\nnonsense'), /line 2: 'nonsense' is neither/);
  assert.match(refusal('; empty\n'), /no section, expected \[supervisord\]/);
  assert.match(
    refusal('[unix_http_server]\nfile=/x'),
    /line 1: section \[unix_http_server\], expected \[supervisord\]/,
  );
  assert.match(
    refusal('[supervisord]\ncommand=a\n[program:b]\ncommand=b'),
    /line 3: a second section \[program:b\]/,
  );
  assert.match(
    refusal(`[supervisord]\ncommand = ${'x'.repeat(70_000)}`),
    /70024 bytes, expected at most 65536/,
  );
});

test('only an entry with the marker of the same app is own', () => {
  const { text } = renderProgram('app', '[supervisord]\ncommand = a', DEFAULTS);
  assert.equal(isOwnProgram('app', text), true);
  assert.equal(isOwnProgram('ap', text), false);
  assert.equal(isOwnProgram('app', text.slice(1)), false);
});
