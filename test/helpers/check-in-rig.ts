/** Passes of the agent in this process, one by one, against a platform behind a relay; the clock of days is the test's. */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPollMemory } from '../../src/agent/check-in/poll-memory.ts';
import { type CycleState, runCycle } from '../../src/agent/cycle.ts';
import { createDelivery } from '../../src/agent/reports/delivery.ts';
import { createReportMemory } from '../../src/agent/reports/sent.ts';
import { takeAgentLock } from '../../src/agent/run/agent-lock.ts';
import { composeContext } from '../../src/agent/run/compose.ts';
import type { AgentContext } from '../../src/agent/run/context.ts';
import { createStatusWriter } from '../../src/agent/run/run-status.ts';
import { createTrafficCounter } from '../../src/agent/traffic/counter.ts';
import { createSystemClock } from '../../src/base/clock.ts';
import { describeError } from '../../src/base/errors.ts';
import { createLogger } from '../../src/base/log.ts';
import { saveEngineConfig, saveGatewayConfig } from '../../src/config/config-files.ts';
import type { EngineSettings } from '../../src/config/schema.ts';
import { createHybridMemory } from '../../src/protocol/data.ts';
import { createWritePace } from '../../src/protocol/wire/write-pace.ts';
import { createLayout } from '../../src/store/layout.ts';
import { type Fault, type FaultProxy, startFaultProxy } from './fault-proxy.ts';
import type { TestPlatform } from './platform.ts';
import { removeRoot } from './remove-root.ts';

export interface CheckInRig {
  root: string;
  serial: string;
  context: AgentContext;
  proxy: FaultProxy;
  kept: CycleState;
  log(): string;
  /** One cycle, and those that follow at once; what it threw, in words. */
  checkIn(): Promise<string | undefined>;
  /** Lets so much time go by. */
  runCycle(ms: number): void;
  setFault(fault: Fault | undefined): void;
  /** A start of gwe: what was only in memory is gone. */
  restart(): Promise<void>;
  told(): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

/** More would be a loop. */
const MOST_PASSES = 12;

export async function createCheckInRig(
  platform: TestPlatform,
  serial: string,
  settings: Partial<EngineSettings> = {},
  env: Readonly<Record<string, string>> = {},
): Promise<CheckInRig> {
  const root = mkdtempSync(join(tmpdir(), 'gwe-check-in-'));
  const layout = createLayout(root);
  const proxy = await startFaultProxy(platform.url);
  for (const path of ['etc/gwe', 'run/gwe', 'var/lib/gwe', 'etc/supervisor/conf.d'])
    mkdirSync(join(root, path), { recursive: true });
  await platform.addDevice('p1', serial);
  const cik = await platform.activate('p1', serial);
  saveGatewayConfig(layout.gatewayConfig, { cik, model: 'p1', vendor: 'p1', uuid: serial });
  saveEngineConfig(layout.engineConfig, { platformUrl: proxy.url, httpTimeoutS: 1, ...settings });
  const real = createSystemClock();
  let laterMs = 0;
  const clock = { ...real, wallMs: () => real.wallMs() + laterMs };
  let log = '';
  const signal = new AbortController().signal;
  const open = async (): Promise<{ context: AgentContext; kept: CycleState }> => {
    const logger = createLogger({
      level: 'debug',
      format: 'text',
      clock,
      write: (line) => {
        log += line;
      },
    });
    const options = {
      layout,
      log: logger,
      env: { PATH: process.env.PATH, ...env },
      gweVersion: '2.1.0',
      signal,
    };
    const context = { ...composeContext(options), clock };
    const lock = await takeAgentLock(context, { isOurs: true, once: true, signal });
    if (lock === undefined) throw new Error('no lock');
    const traffic = createTrafficCounter();
    const kept: CycleState = {
      traffic,
      lock,
      status: createStatusWriter(context, traffic, false),
      memory: createReportMemory(layout.sentReports, () => 'this gateway'),
      delivery: createDelivery(layout.delivery),
      polls: createPollMemory(),
      whose: undefined,
      told: new Set(),
      hybrid: createHybridMemory(),
      pace: createWritePace(clock),
      startedMs: clock.monotonicMs(),
    };
    return { context, kept };
  };
  let { context, kept } = await open();
  return {
    root,
    serial,
    get context() {
      return context;
    },
    get kept() {
      return kept;
    },
    proxy,
    log: () => log,
    async checkIn() {
      try {
        for (let passes = 0; await runCycle(context, kept, signal); passes++)
          if (passes === MOST_PASSES) return 'it goes on and on';
        return undefined;
      } catch (error) {
        return describeError(error);
      }
    },
    runCycle(ms) {
      laterMs += ms;
    },
    setFault: (fault) => proxy.setFault(fault),
    async restart() {
      ({ context, kept } = await open());
    },
    async told() {
      const history = await platform.history('p1', serial, 'fetch_status');
      return history.map(({ value }) => JSON.parse(value) as Record<string, unknown>).reverse();
    },
    async close() {
      await proxy.close();
      removeRoot(root);
    },
  };
}
