/** What a start costs, in time and CPU: the runtime with an empty script is the yardstick. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Row, rowOf } from './row.ts';
import { type Contender, measureGroup } from './sample.ts';
import { childrensCpuMs } from './shell.ts';
import { EXECUTABLE, makeTemplate, type Site } from './site.ts';

/** Starts in a row: the shell counts CPU time by hundredths of a second. */
const STARTS = 10;
const REPEAT = `i=0; while [ $i -lt ${STARTS} ]; do "$@" >&2 || exit; i=$((i+1)); done; times`;

export async function startRows(site: Site): Promise<Row[]> {
  const template = await makeTemplate(site, 'start');
  const root = template.root();
  const empty = join(site.scratch, 'empty.cjs');
  writeFileSync(empty, '');
  const env = { PATH: process.env.PATH ?? '', GWE_ROOT: root, HOME: root };
  const [version, checkIn, bare] = await measureGroup({
    title: 'start',
    contenders: [
      repeated('gwe --version', [EXECUTABLE, '--version'], env),
      repeated('gwe --once', [EXECUTABLE, '--once'], env),
      {
        ...repeated('empty script', [process.execPath, empty], env),
        what: 'the runtime of gwe, `node` on an empty file',
      },
    ],
    quantity: 'milliseconds',
    leastRuns: 7,
    mostRuns: 15,
  });
  const time = { unit: 'ms', quantity: 'milliseconds', isOnlyShown: true };
  const cpu = { unit: 'ms', quantity: 'cpuMs' };
  return [
    rowOf({ ...time, key: 'start.version', what: '`gwe --version`', goal: 1.5 }, version, bare),
    rowOf({ ...cpu, key: 'start.version.cpu', what: '`gwe --version`, CPU' }, version, bare),
    rowOf({ ...time, key: 'start.check-in', what: '`gwe --once`, nothing to do' }, checkIn, bare),
    rowOf(
      { ...cpu, key: 'start.check-in.cpu', what: '`gwe --once`, nothing to do, CPU', goal: 3 },
      checkIn,
      bare,
    ),
  ];
}

function repeated(
  name: string,
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): Contender {
  return {
    name,
    what: command.join(' '),
    async run() {
      const before = performance.now();
      const { status, stdout } = spawnSync('/bin/sh', ['-c', REPEAT, 'sh', ...command], {
        env,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const milliseconds = (performance.now() - before) / STARTS;
      if (status !== 0) throw new Error(`${name} ended with ${status}`);
      return { milliseconds, cpuMs: childrensCpuMs(stdout) / STARTS };
    },
  };
}
