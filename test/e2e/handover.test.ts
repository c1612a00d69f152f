/**
 * gwe asleep between check-ins, under a real supervisord: what it costs, and that no signal is slept over. A sample of
 * signals; 1,000 of them with GWE_FAULTS=full.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type ByteProxy, startByteProxy } from '../helpers/byte-proxy.ts';
import { createGateway, EXECUTABLE, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { until } from '../helpers/until.ts';

const IS_FULL = process.env.GWE_FAULTS === 'full';
const TERMS = IS_FULL ? 500 : 5;
const HANGUPS = IS_FULL ? 500 : 25;
/** After a signal, at most. */
const ANSWER_MS = 90_000;
const MIB = 1024 * 1024;

const seed = Number(process.env.GWE_SEED ?? Date.now() % 1_000_000);
let state = seed;
/** From 0 up to `below`. */
function random(below: number): number {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return (state / 2 ** 32) * below;
}

function statusField(pid: number, name: string): string | undefined {
  try {
    return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  const found = statusField(pid, 'State');
  return found !== undefined && !found.startsWith('Z');
}

/** Between fork and exec it has supervisord's handlers for signals, which are lost with it: gwe cannot help that. */
function isCopyOfParent(pid: number): boolean {
  const parent = Number(statusField(pid, 'PPid') ?? 0);
  return parent > 1 && statusField(parent, 'Name') === statusField(pid, 'Name');
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => statusField(child, 'PPid') === String(pid));
}

/** Of one process: its share of memory, and what it has to itself. */
function memoryOf(pid: number): { pss: number; own: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
  return { pss: bytes('Pss'), own: bytes('Private_Clean') + bytes('Private_Dirty') };
}

describe('a gwe with nothing to do', () => {
  let platform: TestPlatform;
  let proxy: ByteProxy;
  let gateway: Gateway;
  let supervisord: Supervisord;

  const info = async () => {
    const found = await supervisord.processInfo('gwe');
    assert.ok(found !== undefined);
    return found;
  };
  const isAsleep = (pid: number): boolean =>
    statusField(pid, 'Name') === 'sh' && childrenOf(pid).length === 1;
  const log = (): string => readFileSync(join(gateway.root, 'var/log/gwe.log'), 'utf8');
  /** The process id of a gwe that has just gone to sleep. */
  const untilAsleep = async (): Promise<number> => {
    await until(async () => {
      const { statename, pid } = await info();
      return statename === 'RUNNING' && isAsleep(pid);
    }).catch(async () => assert.fail(`${JSON.stringify(await info())}; the log:\n${log().slice(-2000)}`));
    return (await info()).pid;
  };
  const untilAsked = async (afterMs: number): Promise<void> => {
    await until(() => proxy.connections.some(({ atMs }) => atMs > afterMs), ANSWER_MS).catch(async () => {
      assert.fail(
        `no check-in within ${ANSWER_MS} ms; ${JSON.stringify(await info())}; the log:\n${log().slice(-2000)}`,
      );
    });
  };

  /** Since the start of the agent, by its own count. */
  const requests = (): number => {
    const text = readFileSync(join(gateway.root, 'run/gwe/status.json'), 'utf8');
    const { traffic } = JSON.parse(text) as { traffic: Record<string, { requests: number }> };
    return Object.values(traffic).reduce((total, each) => total + each.requests, 0);
  };

  before(async () => {
    platform = await startPlatform();
    proxy = await startByteProxy(platform.url);
    gateway = await createGateway(
      { ...platform, url: proxy.url },
      { command: [EXECUTABLE], settings: { idle_threshold: 0, update_interval: 3600 } },
    );
    supervisord = await startSupervisord(gateway.root);
    const installed = gateway.gwe('service', 'install');
    assert.equal(installed.status, 0, installed.stderr);
  });
  after(async () => {
    await supervisord.stop();
    await gateway.remove();
    await proxy.close();
    await platform.close();
  });

  test('sleeps as a shell, under the pid and the lock that it had, in less than 1 MB', async (t) => {
    const pid = await untilAsleep();
    const family = [pid, ...childrenOf(pid)].map(memoryOf);
    const sum = (key: 'pss' | 'own'): number => family.reduce((total, each) => total + each[key], 0);
    t.diagnostic(`asleep: PSS ${sum('pss') / 1024} KiB, of it shared with nobody ${sum('own') / 1024} KiB`);
    assert.ok(sum('pss') <= MIB);
    const { agent } = JSON.parse(gateway.gwe('status', '--json').stdout) as {
      agent: Record<string, unknown>;
    };
    assert.deepEqual([agent.pid, agent.isAsleep], [pid, true]);
    assert.match(gateway.gwe('status').stdout, new RegExp(`asleep as process ${pid} for`));
    const second = gateway.gwe('--once');
    assert.match(second.stderr, new RegExp(`another gwe \\(process ${pid}\\)`));
  });

  test('holds no file but its log, and shows no secret', async () => {
    const pid = await untilAsleep();
    assert.deepEqual(
      readdirSync(`/proc/${pid}/fd`).filter((fd) => Number(fd) > 2 && Number(fd) !== 10),
      [],
    );
    const key = gateway.gwe('-C').stdout.trim();
    for (const name of ['cmdline', 'environ']) {
      assert.ok(!readFileSync(`/proc/${pid}/${name}`, 'latin1').includes(key), name);
    }
  });

  test('`gwe check-in` wakes it, and so does SIGHUP: one request each, and the same process goes on', async () => {
    const pid = await untilAsleep();
    const started = log().match(/agent\.start /g)?.length;
    const counted = requests();
    for (const wake of ['command', 'signal', 'command', 'signal']) {
      await untilAsleep();
      const count = proxy.connections.length;
      const askedMs = performance.now();
      if (wake === 'signal') process.kill(pid, 'SIGHUP');
      else assert.match(gateway.gwe('check-in').stdout, new RegExp(`process ${pid} checks in now`));
      await untilAsked(askedMs);
      assert.equal(await untilAsleep(), pid);
      assert.equal(proxy.connections.length, count + 1, 'one request');
    }
    assert.equal(log().match(/agent\.start /g)?.length, started, 'the log goes on as if it had stayed');
    assert.equal(requests(), counted + 4, 'the count of requests goes on as well');
  });

  test('SIGTERM ends it with status 0, a last line in the log and no lock', async () => {
    const pid = await untilAsleep();
    const [nap = 0] = childrenOf(pid);
    process.kill(pid, 'SIGTERM');
    await until(() => !isAlive(pid) && !isAlive(nap), ANSWER_MS);
    // supervisord writes what it has read of the program a moment later.
    await until(() => /Z INFO {2}agent\.stop\n(?:.*agent\.start.*\n|$)/.test(log()), ANSWER_MS);
    await until(() => supervisord.log().includes('exited: gwe (exit status 0; expected)'));
    await untilAsleep();
  });

  test(`of ${HANGUPS} SIGHUPs at random moments none is lost`, async (t) => {
    await untilAsleep();
    for (let index = 0; index < HANGUPS; index++) {
      await delay(random(500));
      await until(async () => (await info()).pid !== 0);
      const { pid } = await info();
      const sentMs = performance.now();
      if (isAlive(pid)) process.kill(pid, 'SIGHUP');
      // Every other time the next one comes while this one is being answered.
      if (random(2) < 1 || index === HANGUPS - 1) await untilAsked(sentMs);
    }
    const restarts = supervisord.log().match(/exited: gwe \(terminated by SIGHUP/g)?.length ?? 0;
    t.diagnostic(
      `seed ${seed}: ${restarts} of ${HANGUPS} came while the runtime was starting: supervisord started it again`,
    );
    await untilAsleep();
  });

  test(`of ${TERMS} SIGTERMs at random moments none is lost`, async (t) => {
    let slowestMs = 0;
    for (let index = 0; index < TERMS; index++) {
      await until(async () => (await info()).statename === 'RUNNING');
      await delay(random(700));
      const { pid } = await info();
      if (pid === 0) continue;
      await until(() => !isCopyOfParent(pid));
      if (!isAlive(pid)) continue;
      if (random(2) < 1) {
        process.kill(pid, 'SIGHUP');
        await delay(random(400));
      }
      if (!isAlive(pid)) continue;
      const sentMs = performance.now();
      process.kill(pid, 'SIGTERM');
      await until(() => !isAlive(pid), ANSWER_MS).catch(() => {
        assert.fail(
          `process ${pid} (${statusField(pid, 'Name')}) outlives SIGTERM; seed ${seed}; the log:\n${log().slice(-2000)}`,
        );
      });
      slowestMs = Math.max(slowestMs, performance.now() - sentMs);
    }
    t.diagnostic(`seed ${seed}: the slowest end took ${Math.round(slowestMs)} ms`);
    await untilAsleep();
  });

  test("a memory that is nobody's any more is dropped, and the next start is one of its own", async () => {
    const pid = await untilAsleep();
    process.kill(pid, 'SIGKILL');
    await until(async () => (await info()).pid !== pid && (await info()).statename === 'RUNNING');
    assert.notEqual(await untilAsleep(), pid);
    assert.ok(existsSync(join(gateway.root, 'run/gwe/handover.json')));
    assert.match(log().slice(log().lastIndexOf('agent.start')), /agent\.handover/);
  });
});
