/**
 * What gwe wrote during one update, replayed into every state that a power cut may leave on the disk: bytes that were not
 * synced are lost, torn or zeros, names that were not synced are as before. From each of them one start must bring the
 * update to its end. GWE_FAULTS=full takes every state, otherwise a spread of them.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { decodeForm } from '../../src/protocol/codec.ts';
import { createDiskModel, DATA_FATES, type LoggedCall, parseShimLog } from '../helpers/disk-model.ts';
import {
  createRig,
  FULL,
  inParallel,
  installCommand,
  PRODUCT,
  printTotals,
  type Rig,
  violationsAtRest,
} from '../helpers/fault-rig.ts';
import { BAD, CHUNKS, ONE_OFF, PATCH } from '../helpers/fault-updates.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { pretendReboot } from '../helpers/restarting-scripts.ts';
import { compileShim } from '../helpers/shim.ts';
import { createSignedUpdate } from '../helpers/signed-update.ts';

const WORKERS = FULL ? 8 : 4;

/** One tree, and what the platform knew when the power went. */
interface CrashState {
  tree: string;
  after: string;
  isCleared: boolean;
  report: string | undefined;
}

/** Of all states, in the sampled run. */
const KINDS = [
  { update: ONE_OFF, samples: 10 },
  { update: CHUNKS, samples: 7 },
  { update: PATCH, samples: 5 },
  { update: BAD, samples: 5 },
  { update: createSignedUpdate(), samples: 4 },
];

for (const { update, samples } of KINDS)
  describe(`a power cut that loses what was not synced, in an update of ${update.name}`, () => {
    let platform: TestPlatform;
    let home: string;
    let rigs: Rig[];
    let commandText = installCommand('one.v2.tar.gz');
    let startedMs = 0;

    before(async () => {
      startedMs = performance.now();
      home = mkdtempSync(join(tmpdir(), 'gwe-lost-'));
      platform = await startPlatform();
      await update.upload(platform);
      const { signed } = update;
      const options =
        signed === undefined
          ? {}
          : { settings: signed.settings, prepare: signed.prepare, first: await signed.first() };
      rigs = await Promise.all(
        Array.from({ length: WORKERS }, (_, index) =>
          createRig(platform, { serial: `gw-${index}`, ...options }),
        ),
      );
      commandText = (await signed?.begin(platform)) ?? commandText;
    });
    after(async () => {
      for (const rig of rigs) await rig.remove();
      await platform.close();
      rmSync(home, { recursive: true, force: true });
    });

    /** One undisturbed update under the shim, which writes down every call. */
    async function record(rig: Rig): Promise<{ before: string; calls: LoggedCall[] }> {
      const logFile = join(home, 'calls.log');
      await rig.reset();
      // Of /run nothing outlives a power cut.
      rmSync(join(rig.root, 'run/gwe'), { recursive: true, force: true });
      rmSync(join(rig.root, 'runs.log'), { force: true });
      await rig.command(commandText);
      const before = join(home, 'before');
      mkdirSync(before);
      createDiskModel(rig.root).write(before, 0, 'kept');
      const end = await rig.once({ library: compileShim(home), logFile });
      assert.equal(end.status, 0, end.log);
      const text = readFileSync(logFile, 'utf8').replaceAll(rig.root, before);
      return { before, calls: parseShimLog(text) };
    }

    /** Every distinct state, as trees below `home`. */
    function enumerate(before: string, calls: readonly LoggedCall[]): CrashState[] {
      const model = createDiskModel(before);
      const seen = new Set<string>();
      const states: CrashState[] = [];
      let isCleared = false;
      let report: string | undefined;
      for (const [index, call] of calls.entries()) {
        if (call.path.startsWith(join(before, 'run/'))) continue;
        if (call.operation === 'send') {
          const told = readSend(call.data);
          isCleared ||= told.isClear;
          report = told.report ?? report;
        } else model.apply(call);
        for (let names = 0; names <= model.pendingNames(); names++) {
          for (const fate of DATA_FATES) {
            const key = `${model.digest(names, fate)} ${isCleared} ${report !== undefined}`;
            if (seen.has(key)) continue;
            seen.add(key);
            const after = `call ${index + 1} (${call.operation} ${call.path.replace(before, '')}), ${names} of ${model.pendingNames()} names, bytes ${fate}`;
            const tree = join(home, `state-${seen.size}`);
            const isTaken = FULL || seen.size % 6 === 1;
            if (isTaken) states.push({ tree: model.write(tree, names, fate), after, isCleared, report });
          }
        }
      }
      return FULL ? states : spread(states);
    }

    function spread(states: readonly CrashState[]): CrashState[] {
      const step = Math.max(1, states.length / samples);
      return Array.from(
        { length: Math.min(samples, states.length) },
        (_, n) => states[Math.floor(n * step)],
      ).filter((state) => state !== undefined);
    }

    async function recover(rig: Rig, state: CrashState): Promise<string[]> {
      pretendReboot(state.tree);
      const { outcome, outcomeAfterReboot = outcome } = update;
      const outcomes = wasInstalling(state.tree) ? [outcome, outcomeAfterReboot] : [outcome];
      await rig.adopt(state.tree);
      rmSync(state.tree, { recursive: true, force: true });
      // Every state comes from the same recording, so the state before this one was reported in the same words.
      await platform.write(PRODUCT, rig.serial, 'fetch_status', '');
      await rig.command(commandText);
      if (state.isCleared) await platform.write(PRODUCT, rig.serial, 'engine_fetch', '');
      if (state.report !== undefined) await platform.write(PRODUCT, rig.serial, 'fetch_status', state.report);
      const logs: string[] = [];
      for (let tries = 0; tries < 3; tries++) {
        const end = await rig.once();
        logs.push(end.log);
        if (end.status === 0) break;
      }
      const found = [...(await violationsAtRest(rig, { outcomes })), ...(await signedViolations(rig))];
      if (found.length > 0 && process.env.GWE_FAULT_LOGS !== undefined)
        console.log(state.after, logs.join('\n---\n'));
      return found.map((sentence) => `cut after ${state.after}: ${sentence}`);
    }

    /** Of a signed update: it is not forgotten, and not carried out again. */
    async function signedViolations(rig: Rig): Promise<string[]> {
      if (update.signed === undefined) return [];
      const forgotten = update.signed.forgotten(rig.root);
      const log = join(rig.root, 'runs.log');
      const runs = () => (existsSync(log) ? readFileSync(log, 'utf8') : '');
      const before = runs();
      await platform.write(PRODUCT, rig.serial, 'engine_fetch', commandText);
      await rig.once();
      return runs() === before ? forgotten : [...forgotten, 'the same command was carried out again'];
    }

    test('is recovered from in every state that the disk may be in', async () => {
      const [first] = rigs;
      assert.ok(first !== undefined);
      const { before, calls } = await record(first);
      const states = enumerate(before, calls);
      const violations: string[] = [];
      await inParallel(rigs, async (rig, n) => {
        const state = states[n - 1];
        if (state === undefined) return false;
        violations.push(...(await recover(rig, state)));
        return true;
      });
      printTotals(
        `lost-writes, ${update.name}`,
        startedMs,
        violations.length,
        `${calls.length} calls, ${states.length} states`,
      );
      assert.deepEqual(violations, []);
      assert.ok(states.length >= (FULL ? 100 : 4), `only ${states.length} states`);
    });
  });

/** What a request told the platform. */
function readSend(data: Buffer): { isClear: boolean; report: string | undefined } {
  const text = data.toString('utf8');
  const body = text.slice(text.lastIndexOf('\r\n') + 1).trim();
  if (!/^\w+=/.test(body)) return { isClear: false, report: undefined };
  const pairs = new Map(decodeForm(body));
  return { isClear: pairs.get('engine_fetch') === '', report: pairs.get('fetch_status') };
}

/** Whether install.sh had been started and was not known to have ended: it may have cut the power itself. */
function wasInstalling(tree: string): boolean {
  const path = join(tree, 'var/lib/gwe/journal.json');
  if (!existsSync(path)) return false;
  const { transaction } = JSON.parse(readFileSync(path, 'utf8'));
  return transaction.state === 'installing' && 'script' in transaction && !('exitCode' in transaction);
}
