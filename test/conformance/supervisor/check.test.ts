/** Our verdict on program entries against the reader of the supervisord that is installed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { renderProgram } from '../../../src/supervisor/program.ts';
import { type CheckContext, checkProgramConfig } from '../../../src/supervisor/program-check.ts';
import { directoryExists, userExists } from '../../../src/supervisor/users.ts';
import { layOut } from '../../helpers/supervisord.ts';

const ENVIRONMENT = { PATH: '/usr/bin:/bin', ODD: '50% "x', HOME: '/root' };

/** Reads each entry as supervisord does at its start; gives its groups, or the complaint with which it would end. */
const READER = `
import json, io, sys, time, shlex
from supervisor.options import ServerOptions
out = []
for text in json.load(sys.stdin):
    with open(sys.argv[2], 'w', newline='') as f: f.write(text)
    o = ServerOptions()
    o.stderr = io.StringIO()
    try:
        o.realize(['-n', '-c', sys.argv[1]])
        groups = o.process_group_configs
        for g in groups:
            for p in g.process_configs:
                time.time() + p.startsecs + p.stopwaitsecs
                shlex.split(p.command)[0]
                range(p.stdout_logfile_backups)
                assert '\\0' not in p.command + (p.directory or '') + str(p.stdout_logfile)
        out.append({'groups': [g.name for g in groups]})
    except SystemExit:
        out.append({'complaint': o.stderr.getvalue()})
    except Exception as e:
        out.append({'complaint': repr(e)})
json.dump(out, sys.stdout)
`;

interface Reading {
  groups?: string[];
  complaint?: string;
}

function readAll(texts: readonly string[], root: string): Reading[] {
  const { configFile, confDirectory } = layOut(root);
  const run = spawnSync('/usr/bin/python3', ['-c', READER, configFile, join(confDirectory, 'app.conf')], {
    input: JSON.stringify(texts),
    encoding: 'utf8',
    env: ENVIRONMENT,
    maxBuffer: 64 * 1024 * 1024,
  });
  assert.equal(run.status, 0, run.stderr);
  return JSON.parse(run.stdout) as Reading[];
}

const NUMBERS = [
  '0',
  '1',
  '-1',
  '+5',
  '007',
  '1_0',
  '5s',
  '',
  '1e3',
  '99999999999999999999',
  ' 3',
  '0x10',
  '٣',
  '2.5',
];
const BOOLEANS = ['true', 'FALSE', 'on', '0', 'y', '', 'maybe', 'unexpected', 'Yes ; no'];
const SIZES = ['200KB', '5 MB', '1gb', '10', 'KB', '-5', '5TB', '1.5MB', '5  KB'];
const TEXTS = [
  'a',
  '/bin/sh -c "x y"',
  '"',
  "it's",
  '%',
  '%%',
  '%s',
  '%(here)s',
  '%%(here)s',
  '%(program_name)s',
  '%(process_num)02d',
  '%(process_num)d',
  '%(numprocs)d',
  '%(nope)s',
  '%(ENV_PATH)s',
  '%(ENV_ODD)s',
  '%(ENV_A)s',
  '%(group_name)10s',
  '%(program_name)d',
  '%()s',
  '%(program_name',
  '%5d',
  '\\',
  'a\n b',
  'a\n[x]',
  'a\n [x]',
  'a\n  %',
  'a # b',
  'a ; b',
  '#a',
  ';a',
  '=',
  '= a',
  ': a',
  'A=1',
  'A="x,y",B=\'z\'',
  'A=1,',
  'A=1,,B=2',
  'A=',
  'A',
  'A=a b',
  'A="x"y',
  'A=%(ENV_PATH)s',
  'A="%%"',
  'A=1\n ,B=2',
  'A=x$y',
  'A=#1',
  'A="a\\"b"',
  "A=it's",
  '1A=2',
  'A="x";B=1',
  'ü',
  'root',
  'daemon',
  'nobody',
  '0',
  '65534',
  '4242',
  '/var/log/x',
  '/no/such/x',
  '/tmp',
  'logs/x',
  '~/x',
  '~nobody/x',
  'NONE',
  'auto',
  'syslog',
  '/dev/stdout',
  '/var/log/%(process_num)d/x',
  '/var/log/%%d.log',
  'a/b',
  'a b',
  'a:b',
  '022',
  '0o22',
  '8',
  '9999',
  'TERM',
  'SIGTERM',
  'term',
  '_DFL',
  '15',
  '64',
  '0,2',
  '0,',
  '256',
  '1;2',
  'http://localhost',
  'AUTO',
];
const KEYS: Record<string, string[]> = {
  command: TEXTS,
  process_name: TEXTS,
  directory: TEXTS,
  environment: TEXTS,
  user: TEXTS,
  serverurl: TEXTS,
  stdout_logfile: TEXTS,
  stderr_logfile: TEXTS,
  umask: TEXTS,
  stopsignal: TEXTS,
  exitcodes: TEXTS,
  unknown: TEXTS,
  priority: NUMBERS,
  startsecs: NUMBERS,
  startretries: NUMBERS,
  stopwaitsecs: NUMBERS,
  numprocs: NUMBERS,
  numprocs_start: NUMBERS,
  stdout_logfile_backups: NUMBERS,
  stderr_logfile_backups: NUMBERS,
  autostart: BOOLEANS,
  autorestart: BOOLEANS,
  redirect_stderr: BOOLEANS,
  stopasgroup: BOOLEANS,
  killasgroup: BOOLEANS,
  stdout_events_enabled: BOOLEANS,
  stderr_events_enabled: BOOLEANS,
  stdout_syslog: BOOLEANS,
  stderr_syslog: BOOLEANS,
  stdout_logfile_maxbytes: SIZES,
  stderr_logfile_maxbytes: SIZES,
  stdout_capture_maxbytes: SIZES,
  stderr_capture_maxbytes: SIZES,
};

/** Every key with every value of its pool, of the texts and of the numbers: the whole table. */
function tableSources(): string[] {
  return Object.entries(KEYS).flatMap(([key, pool]) =>
    [...new Set([...pool, ...TEXTS, ...NUMBERS])].map((value) => source([[key, value]])),
  );
}

function source(options: readonly (readonly [string, string])[]): string {
  const lines = options.map(([key, value]) => `${key} = ${value}`);
  const command = options.some(([key]) => key === 'command') ? [] : ['command = /bin/a'];
  return ['[supervisord]', ...command, ...lines, ''].join('\n');
}

function generatedSources(count: number): string[] {
  const nasty = fc
    .array(fc.constantFrom(...'%()sdAE_=,"\';#[]\\ \t\n\r:-/09~é\u0085\u2028\u0000'.split(''), ...TEXTS), {
      maxLength: 8,
    })
    .map((parts) => parts.join(''));
  const option = fc
    .constantFrom(...Object.keys(KEYS))
    .chain((key) => fc.tuple(fc.constant(key), fc.oneof(fc.constantFrom(...(KEYS[key] ?? TEXTS)), nasty)));
  const whole = fc.oneof(
    { weight: 4, arbitrary: fc.array(option, { minLength: 1, maxLength: 4 }).map(source) },
    { weight: 1, arbitrary: nasty.map((text) => `[supervisord]\ncommand = a\n${text}\n`) },
  );
  return fc.sample(whole, { numRuns: count, seed: 20261 });
}

/** The entries of `sources` that pass our check. */
function accepted(sources: readonly string[], root: string): string[] {
  const context: CheckContext = {
    userExists,
    directoryExists,
    confDirectory: join(root, 'etc/supervisor/conf.d'),
    hostName: 'gateway',
    environment: ENVIRONMENT,
  };
  const texts: string[] = [];
  for (const text of sources) {
    try {
      const rendered = renderProgram('app', text, { logDirectory: join(root, 'var/log') });
      if (checkProgramConfig('app', rendered.text, context).length === 0) texts.push(rendered.text);
    } catch {
      // Not even an entry.
    }
  }
  return [...new Set(texts)];
}

for (const [what, sources] of [
  ['a table of every option with good and bad values', tableSources()],
  ['generated configurations', generatedSources(6000)],
] as const) {
  test(`supervisord reads whatever the check passes, as one program: ${what}`, () => {
    const root = mkdtempSync(join(tmpdir(), 'gwe-sv-'));
    try {
      layOut(root);
      const texts = accepted(sources, root);
      assert.ok(texts.length > 300, `only ${texts.length} entries passed: nothing is shown`);
      assert.ok(
        texts.length < sources.length * 0.7,
        `${texts.length} of ${sources.length} passed: the bad ones are missing`,
      );
      for (const [index, reading] of readAll(texts, root).entries()) {
        assert.deepEqual(reading, { groups: ['app'] }, texts[index]);
      }
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
}

test('the reader that the check is compared with does refuse', () => {
  const root = mkdtempSync(join(tmpdir(), 'gwe-sv-'));
  try {
    const [bad, good] = readAll(['[program:app]\ncommand = a %\n', '[program:app]\ncommand = a\n'], root);
    assert.match(bad?.complaint ?? '', /badly formatted/);
    assert.deepEqual(good, { groups: ['app'] });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
