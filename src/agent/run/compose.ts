/** Builds what every check-in needs from the files of a root; what carries out updates is built in `compose-runner.ts`. */
import { type Clock, createSystemClock, uptimeMs } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { BUILD_TIME_S } from '../../base/version.ts';
import { createEngineConfigReader } from '../../config/config-files.ts';
import type { EngineSettings } from '../../config/schema.ts';
import { createInstalledStore } from '../../store/installed-store.ts';
import type { Layout } from '../../store/layout.ts';
import { createOutbox } from '../../store/outbox.ts';
import { createSupervisorClient } from '../../supervisor/client.ts';
import { findListener } from '../../supervisor/find-supervisor.ts';
import { createJournal } from '../../update/journal.ts';
import { type ClockFloor, createClockFloor } from '../clock/clock-floor.ts';
import { maySetClock, setClock } from '../clock/set-clock.ts';
import { createBudget } from '../traffic/budget.ts';
import { trafficInterface } from '../traffic/counter.ts';
import { createTrafficLedger } from '../traffic/ledger.ts';
import type { AgentContext } from './context.ts';
import { createWatcher } from './crash-watch.ts';
import { createDeviceReader } from './device-key.ts';
import { createHeldInterval } from './held-interval.ts';
import { createIdSource } from './ids.ts';
import { orLastGood } from './last-good.ts';
import { createParked } from './parked.ts';
import { createProgress } from './progress.ts';

export interface ComposeOptions {
  layout: Layout;
  log: Logger;
  /** gwe's own environment. */
  env: Readonly<Record<string, string | undefined>>;
  gweVersion: string;
  /** Aborts when gwe is asked to stop. */
  signal: AbortSignal;
  /** Tries of a call to supervisord instead of the configured ones: a person does not wait long for an answer. */
  supervisorAttempts?: number;
  /** How to bring about a restart of the agent; without it the next start takes the new gwe anyway. */
  restart?(): void;
}

const SUPERVISOR_TIMEOUT_MS = 30_000;

/** Configuration is looked at afresh at each use: a set command takes effect without a restart where it can. */
export function composeContext(options: ComposeOptions): AgentContext {
  const { layout, log, env, gweVersion } = options;
  const clock = createSystemClock();
  const engineConfig = createEngineConfigReader(layout.engineConfig);
  const heldInterval = createHeldInterval();
  const settings = orLastGood(() => heldInterval.apply(engineConfig().values), log);
  const supervisor = (timeoutMs?: number) =>
    createSupervisorClient({
      ...findListener(env, layout.root, settings()),
      timeoutMs: timeoutMs ?? SUPERVISOR_TIMEOUT_MS,
      maxAttempts:
        timeoutMs === undefined ? (options.supervisorAttempts ?? settings().maxSupervisorRpcAttempts) : 1,
      clock,
      signal: options.signal,
    });
  const journal = createJournal(layout.journal);
  const outbox = createOutbox(layout.outboxDirectory);
  const clockFloor = composeClockFloor(options, clock, () => settings().setClock);
  const readDevice = createDeviceReader(layout);
  const device = () => readDevice(settings().platformUrl);
  const ledger = createTrafficLedger({
    layout,
    log,
    heardMs: clockFloor.platformMs,
    leastMs: clockFloor.leastMs,
    // Over TLS the platform tells the time; over plain http nobody does.
    plainMs: () =>
      settings().platformUrl.startsWith('http:') && !clockFloor.isBelow() ? clock.wallMs() : undefined,
    iface: () => trafficInterface(device().iface),
  });
  return {
    layout,
    clock,
    log,
    env,
    gweVersion,
    settings,
    heldInterval,
    device,
    installed: createInstalledStore(layout),
    journal,
    outbox,
    supervisor,
    watcher: createWatcher({ layout, log, settings, supervisor }),
    parked: createParked(layout),
    clockFloor,
    ledger,
    budget: createBudget({ layout, ledger, journal, settings }),
    progress: createProgress(),
    newId: createIdSource(clock, journal, outbox),
    restart: options.restart ?? (() => undefined),
  };
}

function composeClockFloor(
  { layout, log, env, signal }: ComposeOptions,
  clock: Clock,
  wish: () => EngineSettings['setClock'],
): ClockFloor {
  return createClockFloor({
    clock,
    uptimeMs,
    log,
    path: layout.clock,
    buildTimeS: BUILD_TIME_S,
    maySet: () => maySetClock({ root: layout.root, uid: process.getuid?.(), wish: wish() }),
    set: (unixS) => setClock(unixS, { path: env.PATH, clock, signal }),
  });
}
