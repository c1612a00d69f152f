/** What a start costs: the runtime with an empty script is the yardstick. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Row, rowOf } from './row.ts';
import { type Contender, measureGroup } from './sample.ts';
import { EXECUTABLE, makeTemplate, type Site } from './site.ts';

export async function startRows(site: Site): Promise<Row[]> {
  const template = await makeTemplate(site, 'start');
  const root = template.root();
  const empty = join(site.scratch, 'empty.cjs');
  writeFileSync(empty, '');
  const env = { PATH: process.env.PATH ?? '', GWE_ROOT: root, HOME: root };
  const [version, checkIn, bare] = await measureGroup({
    title: 'start',
    contenders: [
      timed('gwe --version', [EXECUTABLE, '--version'], env),
      timed('gwe --once', [EXECUTABLE, '--once'], env),
      timed('empty script', [process.execPath, empty], env),
    ],
    quantity: 'milliseconds',
    leastRuns: 15,
    mostRuns: 60,
  });
  const facts = { unit: 'ms', quantity: 'milliseconds' };
  return [
    rowOf({ ...facts, key: 'start.version', what: '`gwe --version`', goal: 1.5 }, version, bare),
    rowOf({ ...facts, key: 'start.check-in', what: '`gwe --once`, nothing to do' }, checkIn, bare),
  ];
}

function timed(name: string, command: readonly string[], env: Readonly<Record<string, string>>): Contender {
  const [program = '', ...args] = command;
  return {
    name,
    what: command.join(' '),
    async run() {
      const before = performance.now();
      const { status } = spawnSync(program, args, { env, stdio: 'ignore' });
      const milliseconds = performance.now() - before;
      if (status !== 0) throw new Error(`${name} ended with ${status}`);
      return { milliseconds };
    },
  };
}
