/**
 * The files of state, looked at before each check-in: what a power cut or bad flash has damaged is repaired by its
 * rule (`store/state-files.ts`). Reading works without it; it is what makes the next damage harmless as well. Where
 * all is well nothing is written.
 */
import { describeError } from '../../base/errors.ts';
import { keepConfigs } from '../../config/config-files.ts';
import { countersFile } from '../../store/command-counters.ts';
import { decisionsFile } from '../../store/gateway-keys.ts';
import { historyFile } from '../../store/history.ts';
import { createInstalledStore } from '../../store/installed-store.ts';
import { keepKeys, releaseFile } from '../../store/trust.ts';
import { savedFile } from '../clock/clock-floor.ts';
import { flushedFile } from '../traffic/ledger.ts';
import type { AgentContext } from './context.ts';
import { keysFile } from './device-key.ts';

/** `told`: what has been logged already, for what cannot be repaired. */
export function repairState(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings'>,
  told: Set<string>,
): void {
  const { layout, log, settings } = context;
  const tell = (sentence: string): void => {
    if (!told.has(sentence)) log.warn('store.damaged', {}, sentence);
    told.add(sentence);
  };
  const attempt = (look: () => readonly (string | undefined)[]): void => {
    try {
      for (const sentence of look()) if (sentence !== undefined) tell(sentence);
    } catch (error) {
      // Readers cope on their own, and report what they cannot read.
      tell(describeError(error));
    }
  };
  attempt(() => keepConfigs(layout));
  attempt(() => keepKeys(layout.keysDirectory));
  attempt(() => [createInstalledStore(layout).repair()]);
  attempt(() => [keysFile(context).repair()]);
  attempt(() => [historyFile(layout).repair()]);
  attempt(() => [releaseFile(layout.releases).repair()]);
  attempt(() => [decisionsFile(layout.keyDecisions).repair()]);
  // Where nobody signs commands there are none, and nothing is read for them.
  attempt(() => (settings().requireSignedCommands ? [countersFile(layout.commandCounters).repair()] : []));
  attempt(() => [savedFile(layout.clock).repair()]);
  attempt(() => [flushedFile(layout.traffic).repair()]);
}
