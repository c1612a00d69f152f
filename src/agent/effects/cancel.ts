/** Cancelling an update on the gateway: by Ctrl-C at its command line, or by `gwe cancel`. */
import { KEYS_APP_NAME } from '../../artifact/name.ts';
import { isCancelAsked } from '../../store/cancel.ts';
import type { Transaction } from '../../update/journal.ts';
import type { CancelWatch } from '../../update/ports.ts';
import type { AgentContext } from '../run/context.ts';

/** Pause between two checks for a cancellation by another process. */
const LOOK_MS = 250;

/** `operator` aborts when the person who typed the command of this process cancels it. */
export function watchCancel(
  { layout, clock }: Pick<AgentContext, 'layout' | 'clock'>,
  tx: string,
  operator?: AbortSignal,
): CancelWatch {
  const asked = new AbortController();
  const over = new AbortController();
  const look = async (): Promise<void> => {
    while (!over.signal.aborted && !asked.signal.aborted) {
      if (isCancelAsked(layout, tx)) asked.abort();
      else await clock.sleep(LOOK_MS, over.signal);
    }
  };
  // Nothing in it throws.
  void look();
  const signal = operator === undefined ? asked.signal : AbortSignal.any([asked.signal, operator]);
  return { signal, end: () => over.abort() };
}

/** A set of keys that has replaced the others stays: whoever has the old ones may have stolen them. */
export function isBeyondCancel({ app, state }: Pick<Transaction, 'app' | 'state'>): boolean {
  return app === KEYS_APP_NAME && (state === 'installing' || state === 'activating');
}
