import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GweError } from '../../../src/base/errors.ts';
import { programMarker, renderProgram } from '../../../src/supervisor/program.ts';
import {
  assertProgramConfig,
  type CheckContext,
  checkProgramConfig,
} from '../../../src/supervisor/program-check.ts';

const CONTEXT: CheckContext = {
  userExists: (user) => user === 'daemon',
  directoryExists: (path) => ['/var/log', '/dev', '/'].includes(path),
  confDirectory: '/etc/supervisor/conf.d',
  hostName: 'gateway',
  environment: { PATH: '/usr/bin:/bin', SUPERVISOR_ENABLED: '1' },
};

function problemsOf(...options: string[]) {
  const lines = options.some((option) => option.startsWith('command'))
    ? options
    : ['command = /bin/a', ...options];
  const { text, settings } = renderProgram('app', ['[supervisord]', ...lines].join('\n'), {
    logDirectory: '/var/log',
  });
  return checkProgramConfig('app', text, CONTEXT, settings);
}

const FINE = [
  'priority = -1',
  'autostart = Yes',
  'autorestart = unexpected',
  'startsecs = 0',
  'stopsignal = SIGINT',
  'stopsignal = 15',
  'exitcodes = 0, 2',
  'exitcodes =',
  'umask = 022',
  'user = daemon',
  'numprocs = 3\nprocess_name = %(program_name)s_%(process_num)02d',
  'environment = A=1,B="x,y",C=\'z\',D=/a/b-c:d(1)',
  'environment = PATH="%(ENV_PATH)s:/opt/bin"',
  'environment = A="1",\n  B="2"',
  'environment = HOME="/root"\ndirectory = %(ENV_HOME)s/x',
  'command = sh -c "echo 100%%; echo \'x\'"',
  'command = %(here)s/run',
  'stdout_logfile = NONE',
  'stdout_logfile = /var/log/%(program_name)s-%(process_num)d.log',
  'stdout_logfile = /dev/stdout\nstdout_logfile_maxbytes = 0',
  'stderr_logfile_maxbytes = 5 MB',
  'unheard_of = %',
];

for (const option of FINE) {
  test(`passes ${JSON.stringify(option)}`, () =>
    assert.deepEqual(problemsOf(...option.split(/\n(?! )/)), []));
}

/** option, and the option that must be named. */
const BAD: [option: string, named: string, found: RegExp][] = [
  ['command = a %', 'command', /%/],
  ['command = date +%Y', 'command', /%Y/],
  ['command = a %s', 'command', /%s/],
  ['command = a %(nope)s', 'command', /nope/],
  ['command = a %(ENV_NOPE)s', 'command', /ENV_NOPE/],
  ['command = a %(ENV_SUPERVISOR_ENABLED)s', 'command', /SUPERVISOR_ENABLED/],
  ['command = a %%(here)s', 'command', /%\/etc/],
  ['command = a %(program_name)d', 'command', /program_name/],
  ['command = sh -c "a', 'command', /sh -c/],
  ['command = a\\', 'command', /a\\/],
  ['command = ""', 'command', /""|^$/],
  ['command =', 'command', /^$/],
  ['startsecs = 1s', 'startsecs', /1s/],
  ['startsecs = 99999999999999999999', 'startsecs', /999/],
  ['startsecs = -1', 'startsecs', /-1/],
  ['priority = %(process_num)d', 'priority', /process_num/],
  ['autostart = maybe', 'autostart', /maybe/],
  ['autorestart = always', 'autorestart', /always/],
  ['redirect_stderr =', 'redirect_stderr', /^$/],
  ['stopsignal = HUPP', 'stopsignal', /HUPP/],
  ['stopsignal = 0', 'stopsignal', /0/],
  ['exitcodes = 0,256', 'exitcodes', /256/],
  ['umask = 9', 'umask', /9/],
  ['user = nobody-here', 'user', /nobody-here/],
  ['stdout_logfile = /no/such/app.log', 'stdout_logfile', /no\/such/],
  ['stdout_logfile = logs/app.log', 'stdout_logfile', /logs/],
  ['stdout_logfile = ~/app.log', 'stdout_logfile', /~/],
  ['stdout_logfile = /var/log/a%%.log', 'stdout_logfile', /%/],
  ['stdout_logfile = /dev/stdout', 'stdout_logfile', /stdout/],
  ['stdout_logfile_maxbytes = 5 megs', 'stdout_logfile_maxbytes', /megs/],
  ['numprocs = 2', 'process_name', /program_name/],
  ['numprocs = 1000000', 'numprocs', /1000000/],
  ['process_name = a b', 'process_name', /a b/],
  ['process_name = a:b', 'process_name', /a:b/],
  ['stopasgroup = true\nkillasgroup = false', 'killasgroup', /false/],
  ['environment = A', 'environment', /A/],
  ['environment = A=', 'environment', /A=/],
  ['environment = A="x', 'environment', /A="x/],
  ['environment = A=für', 'environment', /U\+00FC/],
  ['environment = A=x y', 'environment', /y/],
  ['environment = A=50%', 'environment', /%/],
  ['command = a\u0000b', 'command', /U\+0000/],
];

for (const [option, named, found] of BAD) {
  test(`names the fault of ${JSON.stringify(option)}`, () => {
    const problems = problemsOf(...option.split('\n'));
    const problem = problems.find((each) => each.option === named);
    assert.ok(problem, JSON.stringify(problems));
    assert.match(problem.found, found);
    assert.ok(problem.expected !== '' && problem.remedy !== '');
  });
}

test('a problem gives the line of the app’s own file', () => {
  assert.deepEqual(
    problemsOf('command = a', '; note', 'startsecs = x').map(({ line, option }) => [line, option]),
    [[4, 'startsecs']],
  );
});

test('an entry that could hold a second section is refused, whoever made it', () => {
  const head = `${programMarker('app')}\n[program:app]\ncommand = a\n`;
  for (const rest of [
    '[program:b]\ncommand = b\n',
    ' [program:b]\n',
    'x\n',
    '[include]\nfiles = /etc/x\n',
    'a = b\ra = c\n',
  ]) {
    assert.notDeepEqual(checkProgramConfig('app', head + rest, CONTEXT), [], JSON.stringify(rest));
  }
  assert.deepEqual(checkProgramConfig('app', head, CONTEXT), []);
});

test('an entry without command, without section or for another app is refused', () => {
  for (const text of ['', '[program:app]\n', '[program:other]\ncommand = a\n']) {
    assert.notDeepEqual(checkProgramConfig('app', text, CONTEXT), [], JSON.stringify(text));
  }
});

test('the error names app, line, option, what was found, what was expected and the remedy', () => {
  const { text, settings } = renderProgram('app', '[supervisord]\ncommand = a\nstartsecs = x', {
    logDirectory: '/var/log',
  });
  assert.throws(
    () => assertProgramConfig('app', text, CONTEXT, settings),
    (error) =>
      error instanceof GweError &&
      error.code === 'SUPERVISOR_PROGRAM_INVALID' &&
      /supervisor\.conf of 'app': line 3: startsecs is 'x', expected a whole number.*\(write digits/.test(
        error.message,
      ),
  );
});
