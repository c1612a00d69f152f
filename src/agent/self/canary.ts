/** `gwe --canary`: what a new executable shows before it takes the old one's place. Takes no lock, changes nothing. */
import { createDataApi } from '../../protocol/data.ts';
import { FETCH_ALIAS, INTERVAL_ALIAS } from '../../protocol/messages.ts';
import { type ComposeOptions, composeContext } from '../run/compose.ts';
import { composeTransport } from '../run/platform-connection.ts';
import { createTrafficCounter } from '../traffic/counter.ts';

/**
 * Reads what is on the gateway (configuration, journal, installed versions) and, with a key, both aliases, without
 * clearing or writing; what that cost is left for the agent's ledger. Throws what it cannot read, and PROTOCOL_* when the platform gives no
 * answer.
 */
export async function runCanary(options: ComposeOptions): Promise<void> {
  const context = composeContext(options);
  context.settings();
  context.journal.read();
  context.installed.all();
  const { cik } = context.device();
  if (cik === '') return;
  context.ledger.countAs('self-update');
  const transport = composeTransport(context, createTrafficCounter());
  try {
    const data = createDataApi(transport, () => cik, {
      clock: context.clock,
      signal: options.signal,
      maxReplyBytes: context.settings().maxReplyBytes,
    });
    await data.readAliases([FETCH_ALIAS, INTERVAL_ALIAS]);
  } finally {
    transport.close();
    context.ledger.save();
  }
}
