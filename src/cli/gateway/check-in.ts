/**
 * `gwe check-in`: the running agent checks in now instead of at its next time.
 *
 * `--json`: {version, pid}, with `--wait` {version, pid, isGood, reason}.
 */
import { type RunStatus, readRunStatus } from '../../agent/run/run-status.ts';
import { wakeAgent } from '../../agent/run/running-agent.ts';
import { GweError } from '../../base/errors.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { layoutOf } from '../shell/root.ts';
import { printable, printDocument } from '../shell/screen.ts';
import { pollUntil, readTimeout, TIMEOUT_OPTION } from '../shell/wait.ts';

const USUAL_WAIT_S = 3600;
const LOOK_MS = 200;

export const checkInCommand: CommandSpec = {
  path: ['check-in'],
  positionals: [],
  summary: 'Make the running gwe check in now',
  options: [
    { name: 'wait', help: 'wait until it has checked in and carried out its commands; 1 if that failed' },
    { ...TIMEOUT_OPTION, default: String(USUAL_WAIT_S) },
    JSON_OPTION,
  ],
  run: runCheckIn,
};

async function runCheckIn(call: CommandCall): Promise<number> {
  const layout = layoutOf(call.io, call.options);
  const timeoutMs = readTimeout(call.options, USUAL_WAIT_S);
  const before = readRunStatus(layout)?.lastCheckIn?.atMs;
  const pid = await wakeAgent(layout, call.io.clock);
  if (pid === undefined) {
    throw new GweError(
      'STORE_IO',
      `cannot check in: no gwe runs on root '${layout.root}'; start it with 'supervisorctl start gwe', ` +
        "or check in once with 'gwe --once'",
    );
  }
  if (call.options.has('wait')) return waitForIt(call, pid, (status) => isDone(status, before), timeoutMs);
  if (call.options.has('json')) printDocument(call.io, { pid });
  else call.io.stdout(`process ${pid} checks in now; see 'gwe status'\n`);
  return EXIT.ok;
}

/** Another check-in than that of `before`, and what it brought is carried out: the agent rests. */
function isDone(status: RunStatus | undefined, before: number | undefined): boolean {
  const { lastCheckIn, nextCheckInAtMs } = status ?? {};
  return lastCheckIn !== undefined && lastCheckIn.atMs !== before && nextCheckInAtMs !== undefined;
}

async function waitForIt(
  { io, options }: CommandCall,
  pid: number,
  isOver: (status: RunStatus | undefined) => boolean,
  timeoutMs: number,
): Promise<number> {
  const layout = layoutOf(io, options);
  const isJson = options.has('json');
  if (!isJson) io.stderr(`process ${pid} checks in; waiting until it has\n`);
  const status = await pollUntil(io, { timeoutMs, lookMs: LOOK_MS }, async () => {
    const found = readRunStatus(layout);
    return isOver(found) ? found : undefined;
  });
  if (status?.lastCheckIn === undefined)
    throw new GweError(
      'STORE_IO',
      `process ${pid} has not finished a check-in within ${timeoutMs / 1000} s; it goes on, see 'gwe status'`,
    );
  const { isGood, reason } = status.lastCheckIn;
  if (isJson) printDocument(io, { pid, isGood, reason });
  else
    io.stdout(
      isGood ? 'checked in\n' : `the check-in failed: ${printable(reason ?? 'see the log of gwe')}\n`,
    );
  return isGood ? EXIT.ok : EXIT.failed;
}
