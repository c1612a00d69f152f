/**
 * One update of a program for each call to a real supervisord: the call does not arrive, its answer does not, or nothing
 * ever comes. GWE_FAULTS=full takes every call, otherwise a spread of them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  appTarball,
  createRig,
  FULL,
  inParallel,
  installCommand,
  PRODUCT,
  printTotals,
  programOf,
  type Rig,
  violationsAtRest,
} from '../helpers/fault-rig.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { type CallFault, type SocketLine, startSocketLine } from '../helpers/socket-line.ts';

const WORKERS = FULL ? 8 : 3;
/** Calls of the sampled run; later ones belong to the probe, which asks again. */
const SAMPLED: Readonly<Record<CallFault, readonly number[]>> = {
  drop: [1, 4, 6],
  lose: [2, 5, 6],
  // Each takes the half minute after which gwe gives a call up.
  hang: [],
};

interface Worker {
  rig: Rig;
  line: SocketLine;
}

describe('the line to supervisord', () => {
  let platform: TestPlatform;
  let home: string;
  let workers: Worker[];

  before(async () => {
    home = mkdtempSync(join(tmpdir(), 'gwe-socket-'));
    platform = await startPlatform();
    for (const version of ['1', '2']) {
      const tarball = appTarball(version, { 'supervisor.conf': programOf(version) });
      await platform.putContent(PRODUCT, `one.v${version}.tar.gz`, tarball);
    }
    workers = await Promise.all(
      Array.from({ length: WORKERS }, async (_, index) => {
        const line = await startSocketLine(join(home, `${index}.sock`));
        return { line, rig: await createRig(platform, { serial: `gw-${index}`, supervised: line }) };
      }),
    );
  });
  after(async () => {
    for (const { rig, line } of workers) {
      await rig.remove();
      await line.close();
    }
    await platform.close();
    rmSync(home, { recursive: true });
  });

  /** Returns whether there was such a call. */
  async function cut({ rig, line }: Worker, at: number, fault: CallFault, found: string[]): Promise<boolean> {
    await rig.reset();
    await rig.command(installCommand('one.v2.tar.gz'));
    line.failAt(at, fault);
    const logs = [(await rig.once()).log];
    const isHit = line.calls() >= at;
    line.failAt(0, fault);
    for (let tries = 0; tries < 3; tries++) {
      const end = await rig.once();
      logs.push(end.log);
      if (end.status === 0) break;
    }
    const sentences = await violationsAtRest(rig, {
      outcomes: ['installed', 'failed-no-change', 'rolled-back'],
    });
    for (const sentence of sentences) found.push(`${fault} at call ${at}: ${sentence}`);
    if (sentences.length > 0 && process.env.GWE_FAULT_LOGS !== undefined) console.log(logs.join('\n---\n'));
    return isHit;
  }

  for (const fault of ['drop', 'lose', 'hang'] as const) {
    if (!FULL && SAMPLED[fault].length === 0) continue;
    test(`${fault}: old or new, running, and reported truthfully`, async () => {
      const startedMs = performance.now();
      const violations: string[] = [];
      let points = 0;
      await inParallel(workers, async (worker, n) => {
        const at = FULL ? n : SAMPLED[fault][n - 1];
        if (at === undefined) return false;
        const isHit = await cut(worker, at, fault, violations);
        if (isHit) points++;
        return isHit;
      });
      printTotals(`supervisord-line, ${fault}`, startedMs, violations.length, `${points} calls`);
      assert.deepEqual(violations, []);
      assert.ok(points >= (FULL ? 8 : 1), `only ${points} calls`);
    });
  }
});
