/** What the functions of an agent are given, for tests without a gateway: a fresh root, a clock set by hand, a log kept in memory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { composeContext } from '../../src/agent/run/compose.ts';
import type { AgentContext } from '../../src/agent/run/context.ts';
import { createLogger } from '../../src/base/log.ts';
import type { EngineSettings } from '../../src/config/schema.ts';
import { createLayout } from '../../src/store/layout.ts';
import type { Transaction } from '../../src/update/journal.ts';

export interface HandClock {
  nowMs: number;
  wallMs(): number;
  monotonicMs(): number;
  /** Takes no time, but moves `nowMs`. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Called before each sleep. */
  onSleep(): void;
}

function createHandClock(): HandClock {
  const clock: HandClock = {
    nowMs: Date.UTC(2026, 0, 2),
    wallMs: () => clock.nowMs,
    monotonicMs: () => clock.nowMs,
    onSleep: () => undefined,
    async sleep(ms, signal) {
      clock.onSleep();
      if (signal?.aborted !== true) clock.nowMs += ms;
      await new Promise((resume) => setImmediate(resume));
    },
  };
  return clock;
}

/** `events` has the name of each line of the log. */
export function agentParts(t: TestContext, settings: Partial<EngineSettings> = {}) {
  const layout = createLayout(mkdtempSync(join(tmpdir(), 'gwe-unit-')));
  t.after(() => rmSync(layout.root, { recursive: true }));
  const events: string[] = [];
  const clock = createHandClock();
  const write = (line: string): void => {
    events.push((JSON.parse(line) as { event: string }).event);
  };
  const log = createLogger({ level: 'info', format: 'json', clock, write });
  const composed = composeContext({
    layout,
    log,
    env: {},
    gweVersion: '2.1.0',
    signal: new AbortController().signal,
    supervisorAttempts: 1,
  });
  const context: AgentContext = {
    ...composed,
    clock,
    settings: () => ({ ...composed.settings(), ...settings }),
  };
  return { context, layout, clock, events };
}

/** An update of `app` from version 1 to version 2. */
export function transactionOf(changes: Partial<Transaction> = {}): Transaction {
  return {
    id: 'tx1',
    app: 'app',
    version: '2',
    contentId: 'app.v2.tar.gz',
    source: { kind: 'content' },
    commandDigest: 'c',
    state: 'downloading',
    saves: 1,
    resumes: 0,
    deferrals: 0,
    startedAtMs: 1000,
    endedAtMs: 2000,
    digest: DIGEST_2,
    hasProgram: true,
    previous: VERSION_1,
    notes: [],
    bytesFetched: 10,
    closed: false,
    ...changes,
  };
}

export const DIGEST_2 = '2'.repeat(64);
export const VERSION_1 = {
  version: '1',
  digest: '1'.repeat(64),
  contentId: 'app.v1.tar.gz',
  hasProgram: true,
  installedAtMs: 500,
};
