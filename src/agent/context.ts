/** The objects that the parts of the agent share, built once in `agent.ts` and passed in. */
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { DeviceConfig } from '../config/files.ts';
import type { EngineSettings } from '../config/schema.ts';
import type { InstalledStore } from '../store/installed.ts';
import type { Layout } from '../store/layout.ts';
import type { SupervisorClient } from '../supervisor/client.ts';
import type { Journal } from '../update/journal.ts';
import type { Outbox } from './outbox.ts';
import type { Watcher } from './watch.ts';

export interface AgentContext {
  layout: Layout;
  clock: Clock;
  log: Logger;
  /** gwe's own environment; children get a scrubbed copy. */
  env: Readonly<Record<string, string | undefined>>;
  gweVersion: string;
  settings(): EngineSettings;
  device(): DeviceConfig;
  installed: InstalledStore;
  journal: Journal;
  outbox: Outbox;
  supervisor(): SupervisorClient;
  watcher: Watcher;
  /** Asks for the end of this process, so that whatever runs it starts the gwe that is `current` now. */
  restart(): void;
}
