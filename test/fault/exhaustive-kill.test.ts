/**
 * One update for each call by which the real executable changes the file system or sends on a socket: the call is where
 * power goes (SIGKILL), or fails with EIO or ENOSPC. Then a start without faults, and everything must be true.
 * GWE_FAULTS=full takes every call, GWE_FAULT_AT=90-99 those alone (with GWE_FAULT_LOGS=1 the logs of what fails are shown);
 * otherwise a spread of them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  activeVersion,
  appTarball,
  callsOf,
  createRig,
  FULL,
  inParallel,
  installCommand,
  installScript,
  type Rig,
  violationsAtRest,
} from '../helpers/fault-rig.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { compileShim, type ShimAction } from '../helpers/shim.ts';

/** Most of a run is waiting for the second between two check-ins. */
const WORKERS = 8;
/** Of each kind of fault, in the sampled run. */
const SAMPLES = 6;
const SPAN_GUESS = 230;
const [FROM = 1, TO = Number.POSITIVE_INFINITY] = (process.env.GWE_FAULT_AT ?? '')
  .split('-')
  .filter(Boolean)
  .map(Number);
const IS_CHOSEN = process.env.GWE_FAULT_AT !== undefined;

const OUTCOMES: Readonly<Record<string, readonly string[]>> = {
  kill: ['installed'],
  EIO: ['installed', 'failed-no-change', 'rolled-back'],
  ENOSPC: ['installed', 'failed-no-change', 'rolled-back'],
};

describe('the real executable, cut at the n-th call', () => {
  let platform: TestPlatform;
  let directory: string;
  let library: string;
  let rigs: Rig[];

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'gwe-kill-'));
    library = compileShim(directory);
    platform = await startPlatform();
    await platform.putContent('p1', 'one.v1.tar.gz', appTarball('1'));
    await platform.putContent(
      'p1',
      'one.v2.tar.gz',
      appTarball('2', { 'install.sh': installScript('sleep 0.6') }),
    );
    rigs = await Promise.all(
      Array.from({ length: WORKERS }, (_, index) =>
        createRig(platform, {
          serial: `gw-${index}`,
          settings: { http_timeout: 20 },
        }),
      ),
    );
  });
  after(async () => {
    for (const rig of rigs) rig.remove();
    await platform.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** One update with the fault at call `at`. Returns whether the fault came to pass. */
  async function cut(rig: Rig, at: number, action: ShimAction, violations: string[]): Promise<boolean> {
    const note = (sentence: string): number => violations.push(`${action} at call ${at}: ${sentence}`);
    rig.reset();
    await rig.command(installCommand('one.v2.tar.gz'));
    const logs = [(await rig.once({ library, at, action })).log];
    const isHit = callsOf(rig) >= at;
    const active = activeVersion(rig.root);
    if ('violation' in active) note(`right after: ${active.violation}`);
    for (let tries = 0; tries < 3; tries++) {
      const end = await rig.once();
      logs.push(end.log);
      if (end.status === 0) break;
    }
    const found = await violationsAtRest(rig, { outcomes: OUTCOMES[action] ?? [] });
    for (const sentence of found) note(sentence);
    if (found.length > 0 && process.env.GWE_FAULT_LOGS !== undefined)
      console.log(logs.join('\n--- restart\n'));
    return isHit;
  }

  for (const action of ['kill', 'EIO', 'ENOSPC'] as const) {
    test(`${action}: old or new, carried out once, reported truthfully`, async () => {
      const violations: string[] = [];
      let points = 0;
      await inParallel(rigs, async (rig, n) => {
        const at = pointOf(n);
        const isHit = await cut(rig, at, action, violations);
        if (isHit) points++;
        return isHit && at < TO && (FULL || IS_CHOSEN || n < SAMPLES);
      });
      console.log(`exhaustive-kill: ${action}: ${points} points, ${violations.length} violations`);
      assert.deepEqual(violations, []);
      assert.ok(IS_CHOSEN || points >= (FULL ? 100 : 4), `only ${points} points`);
    });
  }
});

/** The call that is hit in the n-th run. */
function pointOf(n: number): number {
  if (FULL || IS_CHOSEN) return FROM + n - 1;
  return 1 + Math.round(((n - 1) * SPAN_GUESS) / SAMPLES);
}
