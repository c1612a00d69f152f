/** Waiting for commands in long polls: against the embedded platform, and against platforms that do not know or mean it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay, setImmediate } from 'node:timers/promises';
import { createPollMemory, type PollMemory, sinceRead } from '../../../../src/agent/check-in/poll-memory.ts';
import { createLongPolls, type LongPolls } from '../../../../src/agent/idle/long-poll.ts';
import { composeContext } from '../../../../src/agent/run/compose.ts';
import { composeTransport } from '../../../../src/agent/run/platform-connection.ts';
import { createTrafficCounter } from '../../../../src/agent/traffic/counter.ts';
import { type Clock, createSystemClock } from '../../../../src/base/clock.ts';
import { createLogger } from '../../../../src/base/log.ts';
import { saveEngineConfig, saveGatewayConfig } from '../../../../src/config/config-files.ts';
import type { EngineSettings } from '../../../../src/config/schema.ts';
import { createDataApi } from '../../../../src/protocol/data.ts';
import { createLayout } from '../../../../src/store/layout.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { httpAnswer, type RawRequest, startRawServer } from '../../../helpers/raw-server.ts';
import { until } from '../../../helpers/until.ts';

const clock = createSystemClock();
const never = new AbortController().signal;
/**
 * Against platforms that do not wait all is pauses: time goes by in them alone, and none is waited for. An answer takes
 * no time however loaded the machine is.
 */
function pausesOnly(listening: AbortSignal = never): Clock {
  let nowMs = 0;
  return {
    wallMs: clock.wallMs,
    monotonicMs: () => nowMs,
    async sleep(ms, signal) {
      // The transport's deadlines are for a server that does not answer.
      if (signal !== listening) return clock.sleep(ms, signal);
      await setImmediate();
      if (signal?.aborted !== true) nowMs += Math.max(0, ms);
    },
  };
}
const directory = mkdtempSync(join(tmpdir(), 'gwe-long-poll-'));
after(() => rmSync(directory, { recursive: true, force: true }));

interface Rig {
  polls: LongPolls;
  memory: PollMemory;
  log: string[];
  problems: (string | undefined)[];
  /** What a check-in reads, and remembers of the time. */
  read(): Promise<string>;
  set(changes: Partial<EngineSettings>): void;
}

/** The part of an agent that waits, with a key. */
function makeRig(
  url: string,
  cik: string,
  changes: Partial<EngineSettings> = {},
  pauses: Clock = clock,
): Rig {
  const layout = createLayout(mkdtempSync(join(directory, 'root-')));
  const set = (more: Partial<EngineSettings>) => saveEngineConfig(layout.engineConfig, more);
  set({ longPoll: true, platformUrl: url, ...changes });
  saveGatewayConfig(layout.gatewayConfig, { vendor: 'p1', model: 'p1', uuid: 'gw', cik });
  const log: string[] = [];
  const composed = composeContext({
    layout,
    log: createLogger({ level: 'info', format: 'text', clock, write: (line) => void log.push(line) }),
    env: {},
    gweVersion: '1',
    signal: new AbortController().signal,
  });
  const context = { ...composed, clock: pauses };
  context.ledger.own();
  const memory = createPollMemory();
  const traffic = createTrafficCounter();
  const problems: (string | undefined)[] = [];
  const onProblem = (problem: string | undefined): void => void problems.push(problem);
  return {
    polls: createLongPolls({ context, memory, traffic, onProblem }),
    memory,
    log,
    problems,
    async read() {
      const transport = composeTransport(context, traffic);
      const startedMs = clock.monotonicMs();
      const api = createDataApi(transport, () => cik, { clock });
      const { values, dateS } = await api.exchange(
        [['usage_report', '{}']],
        ['engine_fetch', 'update_interval'],
      );
      memory.sinceS = sinceRead(dateS, clock.monotonicMs() - startedMs);
      transport.close();
      return values.get('engine_fetch') ?? '';
    },
    set,
  };
}

const CIK = 'a'.repeat(40);

describe('against the embedded platform', { concurrency: true }, () => {
  let platform: TestPlatform;

  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform.close());

  const device = async (serial: string): Promise<string> => {
    await platform.addDevice('p1', serial);
    return platform.activate('p1', serial);
  };

  test('a command written at any moment around a check-in is read by it or ends the rest soon', async () => {
    const rounds = Array.from({ length: 24 }, async (_, i) => {
      const serial = `any-${i}`;
      const rig = makeRig(platform.url, await device(serial));
      // What the check-in before this one has left: a value that was cleared a moment ago.
      if (i % 2 === 0) await platform.write('p1', serial, 'engine_fetch', '');
      const afterMs = Math.random() * 2200;
      const written = delay(Math.random() * 500 + (i % 3 === 0 ? afterMs : 0)).then(async () => {
        await platform.write('p1', serial, 'engine_fetch', '{"install":[]}');
        return clock.monotonicMs();
      });
      await delay(Math.random() * 500);
      const isRead = (await rig.read()) !== '';
      const hasFound = isRead || (await rig.polls.listen(20_000, never));
      return { serial, hasFound, waitedMs: clock.monotonicMs() - (await written), isRead };
    });
    const results = await Promise.all(rounds);
    for (const { serial, hasFound, waitedMs, isRead } of results) {
      assert.ok(hasFound, `${serial} was not told`);
      assert.ok(isRead || waitedMs < 15_000, `${serial} was told after ${waitedMs} ms`);
    }
    assert.ok(results.some(({ isRead }) => !isRead));
  });

  test('an empty value is no command, costs an answer or two, and the next command is found', async () => {
    const rig = makeRig(platform.url, await device('empty'));
    await rig.read();
    const listening = rig.polls.listen(20_000, never);
    await delay(1100);
    await platform.write('p1', 'empty', 'engine_fetch', '');
    const startedMs = clock.monotonicMs();
    await until(() => (rig.memory.sinceS ?? 0) > 0);
    await delay(500);
    await platform.write('p1', 'empty', 'engine_fetch', '{"install":[]}');
    assert.equal(await listening, true);
    assert.ok(clock.monotonicMs() - startedMs < 15_000);
    assert.deepEqual(rig.problems, []);
  });

  test('it ends at once, and its connection with it, when something else wants the gateway', async () => {
    const rig = makeRig(platform.url, await device('stop'));
    await rig.read();
    const stop = new AbortController();
    const listening = rig.polls.listen(3_600_000, stop.signal);
    await delay(1300);
    const startedMs = clock.monotonicMs();
    stop.abort();
    assert.equal(await listening, false);
    assert.ok(clock.monotonicMs() - startedMs < 30_000);
    assert.deepEqual(rig.log, []);
  });

  test('with only the reserve of the budget left there are no long polls, which is logged once', async () => {
    const rig = makeRig(platform.url, await device('tight'), {
      budgetMonthBytes: 1,
      budgetReservePercent: 90,
    });
    assert.equal(rig.polls.isWanted(3_600_000), true);
    await assert.rejects(async () => {
      await rig.read();
      await rig.read();
    }, /budget_month/);
    assert.equal(rig.polls.isWanted(3_600_000), false);
    assert.equal(rig.polls.isWanted(3_600_000), false);
    assert.equal(rig.log.filter((line) => /poll\.off/.test(line)).length, 1, rig.log.join(''));
    rig.set({ budgetMonthBytes: 0 });
    assert.equal(rig.polls.isWanted(3_600_000), true);
  });

  test('there are no long polls while they are off, or when the check-in comes about as soon', async () => {
    const rig = makeRig(platform.url, await device('off'));
    assert.equal(rig.polls.isWanted(1000), false);
    assert.equal(rig.polls.isWanted(2000), false);
    assert.equal(rig.log.length, 1);
    assert.match(rig.log.join(''), /poll\.off .*less than 5 s apart/);
    rig.set({ longPoll: false });
    assert.equal(rig.polls.isWanted(3_600_000), false);
    assert.equal(rig.log.length, 1);
  });
});

interface Hostile {
  answer: (socket: net.Socket, request: RawRequest) => void;
  /** Between polls, at least; none more follow. */
  pausesMs: readonly number[];
  problem: RegExp;
}

const say =
  (status: string, body = '', headers: readonly string[] = []) =>
  (socket: net.Socket): void =>
    void socket.end(httpAnswer(status, body, headers));
const now = (): string => `Last-Modified: ${new Date().toUTCString()}`;

const HOSTILE: Readonly<Record<string, Hostile>> = {
  'the same empty value at once': {
    answer: say('200 OK', 'engine_fetch='),
    pausesMs: [1000, 1000],
    problem: /^$/,
  },
  'an empty value with a new time at once': {
    answer: (socket) => say('200 OK', 'engine_fetch=', [now()])(socket),
    pausesMs: [1000, 1000],
    problem: /^$/,
  },
  'nothing at once (204)': { answer: say('204 No Content'), pausesMs: [2500, 5000], problem: /at once/ },
  'no change at once (304)': { answer: say('304 Not Modified'), pausesMs: [2500, 5000], problem: /at once/ },
  'not found': { answer: say('404 Not Found'), pausesMs: [2500, 5000], problem: /status 404/ },
  'not implemented': { answer: say('501 Not Implemented'), pausesMs: [2500, 5000], problem: /status 501/ },
  'a closed connection': {
    answer: (socket) => socket.destroy(),
    pausesMs: [2500, 5000],
    problem: /closed before an answer/,
  },
  'too many requests, 4 s': {
    answer: say('429 Too Many Requests', '', ['Retry-After: 4']),
    pausesMs: [4000, 4000],
    problem: /status 429.*in 4 s/,
  },
  'an hour of rest': {
    answer: say('503 Service Unavailable', '', ['Retry-After: 3600']),
    pausesMs: [],
    problem: /status 503/,
  },
  "a portal's page": {
    answer: say('200 OK', '<html>log in</html>'),
    pausesMs: [2500, 5000],
    problem: /none of these aliases/,
  },
  'what is not HTTP': {
    answer: (socket) => void socket.end('SSH-2.0-x\r\n'),
    pausesMs: [2500, 5000],
    problem: /not HTTP/,
  },
};

describe('against a platform that does not wait', { concurrency: true }, () => {
  for (const [name, { answer, pausesMs, problem }] of Object.entries(HOSTILE)) {
    test(`${name}: it is not hammered, and the log says so once`, async (t) => {
      const stop = new AbortController();
      const server = await startRawServer((socket, request) => {
        answer(socket, request);
        if (request.index > 0 && request.index === pausesMs.length) stop.abort();
      });
      t.after(() => server.close());
      const begunMs: number[] = [];
      const pauses = pausesOnly(stop.signal);
      const noting: Clock = {
        ...pauses,
        async sleep(ms, signal) {
          await pauses.sleep(ms, signal);
          if (signal === stop.signal) begunMs.push(pauses.monotonicMs());
        },
      };
      const rig = makeRig(server.url, CIK, {}, noting);
      t.after(() => stop.abort());
      const listening = rig.polls.listen(3_600_000, stop.signal);
      assert.equal(await listening, false);
      assert.equal(server.requests.length, pausesMs.length + 1);
      for (const [index, pauseMs] of pausesMs.entries()) {
        const found = (begunMs[index + 1] ?? 0) - (begunMs[index] ?? 0);
        assert.ok(found >= pauseMs, `after poll ${index}: ${found} ms`);
      }
      assert.match(rig.polls.problem() ?? '', problem);
      const isTold = rig.polls.problem() !== undefined;
      assert.equal(rig.log.filter((line) => /poll\.failed/.test(line)).length, isTold ? 1 : 0);
    });
  }

  test('a value that never changes is asked for ten times, then less and less often', async (t) => {
    const server = await startRawServer(say('200 OK', 'engine_fetch='));
    t.after(() => server.close());
    const pauses = pausesOnly();
    const begunMs: number[] = [];
    const noting: Clock = {
      ...pauses,
      async sleep(ms, signal) {
        await pauses.sleep(ms, signal);
        if (signal === never) begunMs.push(pauses.monotonicMs());
      },
    };
    const rig = makeRig(server.url, CIK, {}, noting);
    assert.equal(await rig.polls.listen(3_600_000, never), false);
    assert.match(rig.polls.problem() ?? '', /at once/);
    const between = begunMs.slice(1).map((at, index) => at - (begunMs[index] ?? 0));
    assert.ok(
      between.slice(0, 10).every((ms) => ms === 1000),
      `${between.slice(0, 12)}`,
    );
    assert.ok((between[10] ?? 0) >= 2500, `${between.slice(0, 12)}`);
    // In an hour it is asked about as often as once in several minutes in the end.
    assert.ok(server.requests.length < 30, `${server.requests.length} requests`);
  });

  test('a key that is refused ends it until the next check-in', async (t) => {
    const server = await startRawServer(say('401 Unauthorized'));
    t.after(() => server.close());
    const rig = makeRig(server.url, CIK, {}, pausesOnly());
    assert.equal(await rig.polls.listen(3_600_000, never), false);
    assert.equal(server.requests.length, 1);
    assert.deepEqual(rig.log, []);
  });

  test('a command that the check-in does not find slows the polls down, one that it takes does not', async (t) => {
    const server = await startRawServer(say('200 OK', 'engine_fetch=%7B%7D', [now()]));
    t.after(() => server.close());
    const pauses = pausesOnly();
    const rig = makeRig(server.url, CIK, {}, pauses);
    assert.equal(await rig.polls.listen(60_000, never), true);
    rig.memory.hasTaken = true;
    assert.equal(await rig.polls.listen(60_000, never), true);
    assert.equal(rig.polls.problem(), undefined);
    const startedMs = pauses.monotonicMs();
    assert.equal(await rig.polls.listen(60_000, never), true);
    assert.ok(pauses.monotonicMs() - startedMs >= 2500);
    assert.match(rig.polls.problem() ?? '', /did not find/);
  });

  test('a command too long to be read is for the check-in', async (t) => {
    const server = await startRawServer(say('200 OK', `engine_fetch=${'x'.repeat(10_000)}`));
    t.after(() => server.close());
    const rig = makeRig(server.url, CIK, { maxReplyBytes: 4096 }, pausesOnly());
    assert.equal(await rig.polls.listen(60_000, never), true);
  });

  test('it asks by the time of the platform, for the rest or for long_poll_timeout', async (t) => {
    const server = await startRawServer((socket, { index }) => {
      const date = 'Date: Fri, 15 Jun 2018 19:04:13 GMT';
      const modified = 'Last-Modified: 1529089400';
      if (index === 0) say('200 OK', 'engine_fetch=', [date])(socket);
      if (index === 1) say('200 OK', 'engine_fetch=', [date, modified])(socket);
    });
    t.after(() => server.close());
    const stop = new AbortController();
    const rig = makeRig(server.url, CIK, { longPollTimeoutS: 10 }, pausesOnly(stop.signal));
    await rig.read();
    const listening = rig.polls.listen(60_000, stop.signal);
    await until(() => server.requests.length === 3);
    stop.abort();
    await listening;
    const [, first, second] = server.requests.map(({ head }) => head);
    assert.match(first ?? '', /^GET \/onep:v1\/stack\/alias\?engine_fetch HTTP/);
    assert.match(first ?? '', /request-timeout: 10000\r/i);
    // Its date, less 2 s and as long as the answer took.
    const since = Number(/if-modified-since: (\d+)\r?$/im.exec(first ?? '')?.[1]);
    assert.ok(since <= 1_529_089_451 && since > 1_529_089_430, `${since}`);
    assert.match(second ?? '', /if-modified-since: 1529089400\r?$/im);
  });
});
