/**
 * `gwe check-in`: the running agent checks in now instead of at its next time.
 *
 * `--json`: {version, pid}.
 */
import { wakeAgent } from '../agent/running-agent.ts';
import { GweError } from '../base/errors.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { JSON_OPTION } from './options.ts';
import { layoutOf } from './root.ts';
import { printDocument } from './screen.ts';

export const checkInCommand: CommandSpec = {
  path: ['check-in'],
  positionals: [],
  summary: 'Have the running gwe check in at once',
  options: [JSON_OPTION],
  run: runCheckIn,
};

async function runCheckIn(call: CommandCall): Promise<number> {
  const layout = layoutOf(call.io, call.options);
  const pid = await wakeAgent(layout, call.io.clock);
  if (pid === undefined) {
    throw new GweError(
      'STORE_IO',
      `cannot check in: no gwe runs on root '${layout.root}'; start it with 'supervisorctl start gwe', ` +
        "or check in once with 'gwe --once'",
    );
  }
  if (call.options.has('json')) printDocument(call.io, { pid });
  else call.io.stdout(`process ${pid} checks in now; see 'gwe status'\n`);
  return EXIT.ok;
}
