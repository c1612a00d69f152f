/** `gwe --canary`: a new executable shows that it can do the job, beside the one that still runs. */
import { runCanary } from '../agent/canary.ts';
import { CANARY_ANSWER, CANARY_OFFLINE_STATUS } from '../agent/self-update.ts';
import { describeError, GweError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { createLayout } from '../store/layout.ts';
import type { CommandIo } from './command.ts';
import { EXIT } from './exit.ts';
import { openLog } from './run.ts';

export async function canaryCommand(io: CommandIo): Promise<number> {
  const layout = createLayout(io.env.GWE_ROOT ?? '/');
  try {
    await runCanary({
      layout,
      log: openLog(io, layout),
      env: io.env,
      gweVersion: VERSION,
      signal: io.signal,
    });
  } catch (error) {
    io.stderr(`gwe: ${describeError(error)}\n`);
    const isPlatform = error instanceof GweError && error.code.startsWith('PROTOCOL_');
    return isPlatform ? CANARY_OFFLINE_STATUS : EXIT.failed;
  }
  io.stdout(`${CANARY_ANSWER}\n`);
  return EXIT.ok;
}
