/**
 * `gwe doctor`: looks for what would stop an update; changes nothing.
 *
 * `--json` prints one document on one line: {version: 1, gwe, root, ok, checks: [{id, status, finding, mend?}]}, with
 * `status` one of ok, warn, fail, and `ok` false if any check has failed. Fields and checks may be added.
 */
import { composeContext } from '../agent/compose.ts';
import { createLogger } from '../base/log.ts';
import { VERSION } from '../base/version.ts';
import { type Result, runChecks, type Status } from '../doctor/check.ts';
import { gatewayChecks } from '../doctor/gateway.ts';
import { machineChecks } from '../doctor/machine.ts';
import { platformChecks } from '../doctor/platform.ts';
import type { CommandCall, CommandIo, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { wrap } from './help.ts';
import { layoutOf } from './root.ts';

const JSON_VERSION = 1;
const WIDTH = 80;
const INDENT = 18;
const COLOURS: Readonly<Record<Status, string>> = { ok: '32', warn: '33', fail: '31' };

export const doctorCommands: readonly CommandSpec[] = [
  {
    path: ['doctor'],
    positionals: [],
    summary: 'look for what would stop an update, and say how to mend it; status 1 if anything would',
    options: [{ name: 'json', help: 'one JSON document instead of text' }],
    run: examine,
  },
];

async function examine({ io, options }: CommandCall): Promise<number> {
  const layout = layoutOf(io, options);
  const silent = createLogger({ level: 'error', format: 'text', clock: io.clock, write: () => undefined });
  const context = composeContext({
    layout,
    log: silent,
    env: io.env,
    gweVersion: VERSION,
    signal: io.signal,
    supervisorAttempts: 1,
  });
  const checks = [
    ...machineChecks(layout, context.settings(), io.env),
    ...gatewayChecks(layout, context.supervisor()),
    ...platformChecks(context),
  ];
  const results = await runChecks(checks, io.clock);
  const isFine = results.every(({ status }) => status !== 'fail');
  if (options.has('json')) {
    const document = { version: JSON_VERSION, gwe: VERSION, root: layout.root, ok: isFine, checks: results };
    io.stdout(`${JSON.stringify(document)}\n`);
  } else {
    for (const result of results) io.stdout(`${render(result, hasColour(io)).join('\n')}\n`);
  }
  return isFine ? EXIT.ok : EXIT.failed;
}

function hasColour(io: CommandIo): boolean {
  return io.isTerminal && (io.env.NO_COLOR ?? '') === '' && io.env.TERM !== 'dumb';
}

/** One line; what does not fit goes on below, indented. */
function render(result: Result, isColoured: boolean): string[] {
  const text = result.mend === undefined ? result.finding : `${result.finding}; mend: ${result.mend}`;
  const [first = '', ...rest] = wrap(text.replace(/\p{Cc}+/gu, ' '), WIDTH - INDENT);
  const status = result.status.padEnd(5);
  const shown = isColoured ? `\x1b[${COLOURS[result.status]}m${status}\x1b[0m` : status;
  return [
    `${shown}${result.id.padEnd(INDENT - 5)}${first}`,
    ...rest.map((line) => ' '.repeat(INDENT) + line),
  ];
}
