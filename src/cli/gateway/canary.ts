/** `gwe --canary`: a new executable shows that it can do the job, beside the one that still runs. */
import { runCanary } from '../../agent/self/canary.ts';
import { CANARY_ANSWER, CANARY_OFFLINE_STATUS } from '../../agent/self/self-update.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { VERSION } from '../../base/version.ts';
import type { CommandIo } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { layoutAt } from '../shell/root.ts';
import { openLog } from './run.ts';

export async function canaryCommand(io: CommandIo): Promise<number> {
  const layout = layoutAt(io, io.env.GWE_ROOT ?? '/');
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
