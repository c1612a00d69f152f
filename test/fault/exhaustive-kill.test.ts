/**
 * One update for each call by which the real executable changes the file system or sends on a socket: the call is where
 * power goes (SIGKILL), or fails with EIO or ENOSPC. Then a start without faults, and everything must be true. Of five
 * kinds: a one-off, a program under a real supervisord, a tarball of which only the chunks that changed are fetched, a patch,
 * and a version whose install.sh fails.
 * GWE_FAULTS=full takes every call (errors in all but the first: every eighth), GWE_FAULT_AT=90-99 those alone (with GWE_FAULT_LOGS=1 the logs of what fails are shown);
 * otherwise a spread of them.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  activeVersion,
  callsOf,
  createRig,
  FULL,
  inParallel,
  installCommand,
  printTotals,
  type Rig,
  violationsAtRest,
} from '../helpers/fault-rig.ts';
import { BAD, CHUNKS, type FaultUpdate, ONE_OFF, PATCH, PROGRAM } from '../helpers/fault-updates.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { compileShim, type ShimAction } from '../helpers/shim.ts';

/** Much of a run is waiting: for processes, and for the second after which an alias may be written again. */
const WORKERS = FULL ? 8 : 4;
const [FROM = 1, TO = Number.POSITIVE_INFINITY] = (process.env.GWE_FAULT_AT ?? '')
  .split('-')
  .filter(Boolean)
  .map(Number);
const IS_CHOSEN = process.env.GWE_FAULT_AT !== undefined;

const ACTIONS = ['kill', 'EIO', 'ENOSPC'] as const;
/** What may be reported after a call has failed; after a kill it is what would have been without. */
const AFTER_ERROR = ['failed-no-change', 'rolled-back'];

interface Kind {
  update: FaultUpdate;
  /** In the full run every so manieth call is failed; all of them are killed at. */
  errorStep: number;
  /** Points of each action in the sampled run. */
  samples: Readonly<Record<(typeof ACTIONS)[number], number>>;
}

const KINDS: readonly Kind[] = [
  { update: ONE_OFF, errorStep: 1, samples: { kill: 4, EIO: 4, ENOSPC: 4 } },
  { update: PROGRAM, errorStep: 8, samples: { kill: 4, EIO: 2, ENOSPC: 2 } },
  { update: CHUNKS, errorStep: 8, samples: { kill: 4, EIO: 2, ENOSPC: 2 } },
  { update: PATCH, errorStep: 8, samples: { kill: 4, EIO: 2, ENOSPC: 2 } },
  { update: BAD, errorStep: 8, samples: { kill: 4, EIO: 2, ENOSPC: 2 } },
];

describe('the real executable, cut at the n-th call', () => {
  let directory: string;
  let library: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'gwe-kill-'));
    library = compileShim(directory);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  for (const kind of KINDS) {
    const { update } = kind;
    describe(`in an update of ${update.name}`, () => {
      let platform: TestPlatform;
      let rigs: Rig[];
      /** Calls of an undisturbed update. */
      let span = 0;

      before(async () => {
        platform = await startPlatform();
        await update.upload(platform);
        rigs = await Promise.all(
          Array.from({ length: WORKERS }, (_, index) =>
            createRig(platform, { serial: `gw-${index}`, supervised: update.isSupervised }),
          ),
        );
        const [rig] = rigs;
        if (rig !== undefined) span = await measureSpan(rig, update);
      });
      after(async () => {
        for (const rig of rigs) await rig.remove();
        await platform.close();
      });

      for (const action of ACTIONS) {
        test(`${action}: old or new, carried out once, reported truthfully`, async () => {
          const startedMs = performance.now();
          const violations: string[] = [];
          let points = 0;
          await inParallel(rigs, async (rig, n) => {
            const samples = kind.samples[action];
            const step = action === 'kill' || IS_CHOSEN ? 1 : kind.errorStep;
            const first = Math.min(step, ACTIONS.indexOf(action) + 1);
            const at = FULL ? first + (n - 1) * step : IS_CHOSEN ? FROM + n - 1 : spread(n, samples, span);
            const isHit = await cut(rig, at, action, update, violations);
            if (isHit) points++;
            return isHit && at < TO && (FULL || IS_CHOSEN || n < samples);
          });
          printTotals(
            `exhaustive-kill, ${update.name}, ${action}`,
            startedMs,
            violations.length,
            `${points} points of about ${span} calls`,
          );
          assert.deepEqual(violations, []);
          assert.ok(IS_CHOSEN || points >= (FULL ? 20 : 2), `only ${points} points`);
        });
      }
    });
  }

  async function measureSpan(rig: Rig, { mostBytes }: FaultUpdate): Promise<number> {
    await rig.reset();
    await rig.command(installCommand('one.v2.tar.gz'));
    const end = await rig.once({ library });
    assert.equal(end.status, 0, end.log);
    const [report] = await rig.reports();
    assert.ok(Number(report?.bytes) <= mostBytes, JSON.stringify(report));
    return callsOf(rig);
  }

  /** One update with the fault at call `at`. Returns whether the fault came to pass. */
  async function cut(
    rig: Rig,
    at: number,
    action: ShimAction,
    { outcome }: FaultUpdate,
    violations: string[],
  ): Promise<boolean> {
    const note = (sentence: string): number => violations.push(`${action} at call ${at}: ${sentence}`);
    await rig.reset();
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
    const found = await violationsAtRest(rig, {
      outcomes: action === 'kill' ? [outcome] : [outcome, ...AFTER_ERROR],
    });
    for (const sentence of found) note(sentence);
    if (found.length > 0 && process.env.GWE_FAULT_LOGS !== undefined)
      console.log(logs.join('\n--- restart\n'));
    return isHit;
  }
});

/** The n-th of `samples` calls between the first and the last. */
function spread(n: number, samples: number, span: number): number {
  return 1 + Math.round(((n - 1) * (span - 1)) / samples);
}
