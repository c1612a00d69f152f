/** The objects that the parts of the agent share, built once in `agent.ts` and passed in. */
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { DeviceConfig } from '../../config/config-files.ts';
import type { LoadedSettings } from '../../config/schema.ts';
import type { InstalledStore } from '../../store/installed.ts';
import type { Layout } from '../../store/layout.ts';
import type { Outbox } from '../../store/outbox.ts';
import type { SupervisorClient } from '../../supervisor/client.ts';
import type { Journal } from '../../update/journal.ts';
import type { ClockFloor } from '../clock/clock-floor.ts';
import type { Budget } from '../traffic/budget.ts';
import type { TrafficLedger } from '../traffic/ledger.ts';
import type { Watcher } from './crash-watch.ts';
import type { HeldInterval } from './held-interval.ts';
import type { Parked } from './parked.ts';
import type { Progress } from './progress.ts';

export interface AgentContext {
  layout: Layout;
  clock: Clock;
  log: Logger;
  /** gwe's own environment; children get a scrubbed copy. */
  env: Readonly<Record<string, string | undefined>>;
  gweVersion: string;
  settings(): LoadedSettings;
  /** An interval that could not be stored. */
  heldInterval: HeldInterval;
  device(): DeviceConfig;
  installed: InstalledStore;
  journal: Journal;
  outbox: Outbox;
  /** With `timeoutMs` a call is tried once and given up after that: what is asked for a report may be missing. */
  supervisor(timeoutMs?: number): SupervisorClient;
  watcher: Watcher;
  parked: Parked;
  clockFloor: ClockFloor;
  ledger: TrafficLedger;
  budget: Budget;
  progress: Progress;
  /** An id for a transaction or report; sorts after every one before, also when the clock goes back. */
  newId(): string;
  /** Asks for the end of this process, so that whatever runs it starts the gwe that is `current` now. */
  restart(): void;
}
