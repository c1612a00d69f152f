/** What the platform shows of itself while it is asked something: its clock, and its certificate. */
import { GweError } from '../base/errors.ts';
import type { ContentApi } from '../protocol/content.ts';
import { probeTls, type TlsFacts } from '../protocol/transport-probe.ts';
import { composeContentApi, composeTransport, platformSettings } from './compose.ts';
import type { AgentContext } from './context.ts';
import { createTrafficCounter } from './traffic.ts';

export interface PlatformLook {
  /** How far the platform's clock is ahead of this machine's; only TLS makes that known. */
  aheadMs?: number;
  /** Absent with plain HTTP. */
  tls?: TlsFacts;
}

/** Asks the platform something, and has a look at it. Throws what `ask` throws. */
export async function askAndLook<T>(
  context: AgentContext,
  ask: (content: ContentApi) => Promise<T>,
): Promise<{ answer: T; platform: PlatformLook }> {
  let aheadMs: number | undefined;
  const clockFloor = {
    ...context.clockFloor,
    heard(ms: number | undefined) {
      if (ms !== undefined) aheadMs = ms - context.clock.wallMs();
      context.clockFloor.heard(ms);
    },
  };
  const transport = composeTransport({ ...context, clockFloor }, createTrafficCounter());
  try {
    const answer = await ask(composeContentApi(context, transport));
    const tls = await lookAtCertificate(context);
    const platform = { ...(aheadMs === undefined ? {} : { aheadMs }), ...(tls === undefined ? {} : { tls }) };
    return { answer, platform };
  } finally {
    transport.close();
    context.ledger.save();
  }
}

/** By a handshake of its own: most requests resume a session, which shows no certificate. */
async function lookAtCertificate(context: AgentContext): Promise<TlsFacts | undefined> {
  try {
    return await probeTls(platformSettings(context), context.clock);
  } catch (error) {
    // It has answered just now: what it said counts.
    if (error instanceof GweError) return undefined;
    throw error;
  }
}
