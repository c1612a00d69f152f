/** What an exchange with the platform shows about it: its clock and its certificate. */
import { GweError } from '../../base/errors.ts';
import type { ContentApi } from '../../protocol/content-api.ts';
import { probeTls, type TlsFacts } from '../../protocol/transport-probe.ts';
import type { Validity } from '../../protocol/transport-tls.ts';
import type { AgentContext } from '../run/context.ts';
import { composeContentApi, composeTransport, platformSettings } from '../run/platform-connection.ts';
import { createTrafficCounter } from '../traffic/counter.ts';

export interface PlatformFacts {
  /** How far the platform's clock is ahead of this machine's; only TLS makes that known. */
  aheadMs?: number;
  /** Absent with plain HTTP. */
  tls?: TlsFacts;
}

/** Makes the request `ask` and observes the platform meanwhile. Throws what `ask` throws. */
export async function askPlatform<T>(
  context: AgentContext,
  ask: (content: ContentApi) => Promise<T>,
): Promise<{ answer: T; platform: PlatformFacts }> {
  let aheadMs: number | undefined;
  const clockFloor = {
    ...context.clockFloor,
    heard(ms: number | undefined, validity?: Validity) {
      if (ms !== undefined) aheadMs = ms - context.clock.wallMs();
      context.clockFloor.heard(ms, validity);
    },
  };
  const transport = composeTransport({ ...context, clockFloor }, createTrafficCounter());
  try {
    const answer = await ask(composeContentApi(context, transport));
    const tls = await readCertificate(context);
    const platform = { ...(aheadMs === undefined ? {} : { aheadMs }), ...(tls === undefined ? {} : { tls }) };
    return { answer, platform };
  } finally {
    transport.close();
    context.ledger.save();
  }
}

/** By a handshake of its own: most requests resume a session, which shows no certificate. */
async function readCertificate(
  context: Pick<AgentContext, 'clock' | 'env' | 'gweVersion' | 'settings' | 'device'>,
): Promise<TlsFacts | undefined> {
  try {
    return await probeTls(platformSettings(context), context.clock);
  } catch (error) {
    // It has answered just now: what it said counts.
    if (error instanceof GweError) return undefined;
    throw error;
  }
}
