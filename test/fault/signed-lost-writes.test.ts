/**
 * What keeps old commands and old release lists out, in every state that a power cut may leave on the disk while it is
 * raised: no number that was kept is ever lower, each of its two copies alone is enough, and it can be raised again.
 * GWE_FAULTS=full takes every state, otherwise every third.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { renderReleaseList } from '../../src/artifact/manifest/release-list.ts';
import { copyPath } from '../../src/base/edited-file.ts';
import { countersFile, createCommandCounters } from '../../src/store/command-counters.ts';
import { createLayout, type Layout } from '../../src/store/layout.ts';
import { highestListRelease, keepReleaseList, readReleaseList } from '../../src/store/release-lists.ts';
import { createDiskModel, DATA_FATES, type LoggedCall, parseShimLog } from '../helpers/disk-model.ts';
import { FULL, printTotals } from '../helpers/fault-rig.ts';
import { compileShim, shimEnvironment } from '../helpers/shim.ts';

const RAISED = 3;
const STEP = FULL ? 1 : 3;

/** What the process had been told to be on the disk when the power went. */
interface Kept {
  counter: number;
  release: number;
}

describe('a power cut that loses what was not synced, while counters and release lists are raised', () => {
  let home: string;
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'gwe-numbers-'));
  });
  after(() => rmSync(home, { recursive: true }));

  /** Every call of a process that raises them, on an empty gateway. */
  function record(): { start: string; calls: LoggedCall[] } {
    const [root, start] = [join(home, 'root'), join(home, 'start')];
    for (const path of ['var/lib/gwe', 'run/gwe', 'etc/gwe', 'done'])
      mkdirSync(join(root, path), { recursive: true });
    cpSync(root, start, { recursive: true });
    const logFile = join(home, 'calls.log');
    const script = join(import.meta.dirname, '../helpers/write-numbers.ts');
    const { status, stderr } = spawnSync(process.execPath, ['--no-warnings', script, root, String(RAISED)], {
      env: { ...process.env, ...shimEnvironment({ library: compileShim(home), root, logFile }) },
    });
    assert.equal(status, 0, String(stderr));
    return { start, calls: parseShimLog(readFileSync(logFile, 'utf8').replaceAll(root, start)) };
  }

  function noteDone(kept: Kept, { operation, path }: LoggedCall): void {
    const [, what, number] = /\/done\/(counter|release)-(\d+)$/.exec(path) ?? [];
    if (operation === 'mkdir' && (what === 'counter' || what === 'release')) kept[what] = Number(number);
  }

  const counterIn = ({ commandCounters }: Layout): number =>
    createCommandCounters(commandCounters).read()?.get('boss')?.counter ?? 0;
  const releaseIn = (layout: Layout): number => highestListRelease(layout) ?? 0;

  function faultsIn(tree: string, kept: Kept): string[] {
    const layout = createLayout(tree);
    const [counter, release] = [counterIn(layout), releaseIn(layout)];
    const list = readReleaseList(layout)?.list.release ?? 0;
    const found = [
      ...(counter < kept.counter || counter > RAISED ? [`counter ${counter} of ${kept.counter}`] : []),
      ...(release < kept.release || release > RAISED ? [`release ${release} of ${kept.release}`] : []),
      ...(list < kept.release || list > release
        ? [`list ${list} of ${kept.release}, highest ${release}`]
        : []),
    ];
    countersFile(layout.commandCounters).repair();
    if (counterIn(layout) !== counter) found.push(`counter ${counterIn(layout)} after the repair`);
    createCommandCounters(layout.commandCounters).note('boss', { counter: 0, digest: 'old', state: 'open' });
    if (counterIn(layout) < counter) found.push('an old command lowers the counter');
    return [...found, ...singleFaults(layout, kept), ...raiseFaults(layout)];
  }

  /** With one of the two copies of each gone. */
  function singleFaults(layout: Layout, kept: Kept): string[] {
    const without = (path: string, wanted: number, read: () => number): string[] => {
      if (!existsSync(path)) return [];
      const aside = `${path}-aside`;
      cpSync(path, aside);
      rmSync(path);
      const found = read();
      cpSync(aside, path);
      rmSync(aside);
      return found >= wanted ? [] : [`${found} of ${wanted} without ${path.replace(layout.root, '')}`];
    };
    const both = (path: string): string[] => [path, copyPath(path)];
    return [
      ...both(layout.commandCounters).flatMap((path) => without(path, kept.counter, () => counterIn(layout))),
      ...both(layout.releases).flatMap((path) => without(path, kept.release, () => releaseIn(layout))),
      ...both(layout.releaseList).flatMap((path) =>
        without(path, kept.release, () => readReleaseList(layout)?.list.release ?? 0),
      ),
    ];
  }

  function raiseFaults(layout: Layout): string[] {
    const next = RAISED + 1;
    createCommandCounters(layout.commandCounters).note('boss', { counter: next, digest: 'n', state: 'open' });
    const bytes = renderReleaseList({ product: 'p1', release: next, issued: 1, expires: 2, apps: {} });
    keepReleaseList(layout, bytes, { release: next, item: { sizeBytes: bytes.length, updated: next } });
    const now = [counterIn(layout), releaseIn(layout), readReleaseList(layout)?.list.release];
    return now.every((number) => number === next) ? [] : [`raised to ${next}, found ${now.join(', ')}`];
  }

  test('no number is lower, each copy is enough, and each can be raised again, in every state of the disk', () => {
    const startedMs = performance.now();
    const { start, calls } = record();
    const model = createDiskModel(start);
    const seen = new Set<string>();
    const kept: Kept = { counter: 0, release: 0 };
    const violations: string[] = [];
    let states = 0;
    for (const [index, call] of calls.entries()) {
      model.apply(call);
      noteDone(kept, call);
      for (let names = 0; names <= model.pendingNames(); names++)
        for (const fate of DATA_FATES) {
          const key = `${model.digest(names, fate)} ${kept.counter} ${kept.release}`;
          if (seen.has(key)) continue;
          seen.add(key);
          if (seen.size % STEP !== 0) continue;
          states++;
          const tree = model.write(join(home, 'state'), names, fate);
          const where = `after call ${index + 1} (${call.operation} ${call.path.replace(start, '')}), ${names} names, bytes ${fate}`;
          violations.push(...faultsIn(tree, { ...kept }).map((fault) => `${where}: ${fault}`));
          rmSync(tree, { recursive: true });
        }
    }
    printTotals(
      'signed-lost-writes',
      startedMs,
      violations.length,
      `${calls.length} calls, ${states} states`,
    );
    assert.deepEqual(violations, []);
    assert.equal(kept.release, RAISED);
    assert.ok(states >= 100 / STEP, `only ${states} states`);
  });
});
