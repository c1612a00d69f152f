/**
 * `gwe doctor`: checks for anything that would prevent an update; changes nothing.
 *
 * `--json` prints one document on one line: {version: 1, gwe, root, ok, checks: [{id, status, finding, mend?,
 * run?}]}, with `status` one of ok, warn, fail, and `ok` false if any check has failed. Fields and checks may be
 * added.
 */
import { composeContext } from '../../agent/run/compose.ts';
import { createLogger } from '../../base/log.ts';
import { VERSION } from '../../base/version.ts';
import { type Result, runChecks, type Status } from '../../doctor/check.ts';
import { gatewayChecks } from '../../doctor/gateway-checks.ts';
import { machineChecks } from '../../doctor/machine-checks.ts';
import { platformChecks } from '../../doctor/platform-checks.ts';
import type { CommandCall, CommandIo, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { layoutOf } from '../shell/root.ts';
import { believeColumns, foldText, paint, printable, type Tone } from '../shell/screen.ts';

const JSON_VERSION = 1;
const INDENT = 18;
const TONES: Readonly<Record<Status, Tone>> = { ok: 'good', warn: 'warn', fail: 'bad' };

export const doctorCommands: readonly CommandSpec[] = [
  {
    path: ['doctor'],
    positionals: [],
    summary:
      'Check for anything that would prevent an update, and print the command that corrects it; status 1 if there is something',
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
    ...machineChecks(layout, context.settings(), io.env, context.clock),
    ...gatewayChecks(context, context.supervisor()),
    ...platformChecks(context),
  ];
  const results = await runChecks(checks, io.clock);
  const isFine = results.every(({ status }) => status !== 'fail');
  if (options.has('json')) {
    const document = { version: JSON_VERSION, gwe: VERSION, root: layout.root, ok: isFine, checks: results };
    io.stdout(`${JSON.stringify(document)}\n`);
  } else {
    for (const result of results) io.stdout(`${render(io, result).join('\n')}\n`);
  }
  return isFine ? EXIT.ok : EXIT.failed;
}

/** One line; what does not fit goes on below, indented. */
function render(io: CommandIo, result: Result): string[] {
  const advice = result.run === undefined ? result.mend : undefined;
  const text = advice === undefined ? result.finding : `${result.finding}; to do: ${advice}`;
  const [first = '', ...rest] = foldText(
    printable(text),
    io.isTerminal ? believeColumns(io.columns) - INDENT : Number.POSITIVE_INFINITY,
    0,
  );
  const shown = paint(io, result.status.padEnd(5), TONES[result.status]);
  return [
    `${shown}${result.id.padEnd(INDENT - 5)}${first}`,
    ...rest.map((line) => ' '.repeat(INDENT) + line),
    // Unbroken, however long: it is there to be copied.
    ...(result.run === undefined ? [] : [`${' '.repeat(INDENT - 2)}$ ${result.run}`]),
  ];
}
