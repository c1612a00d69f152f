import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  findExpendable,
  sweepDownloads,
  wouldFitWithout,
} from '../../../../src/agent/preflight/make-room.ts';
import { createParked } from '../../../../src/agent/run/parked.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { createLogger } from '../../../../src/base/log.ts';
import { itemFiles } from '../../../../src/store/downloads.ts';
import { createInstalledStore } from '../../../../src/store/installed-store.ts';
import { createLayout } from '../../../../src/store/layout.ts';

const OWN = 'app.v2.tar.gz';
const DAY_MS = 24 * 3600 * 1000;

function gatewayStore(t: TestContext) {
  const layout = createLayout(mkdtempSync(join(tmpdir(), 'gwe-room-')));
  t.after(() => rmSync(layout.root, { recursive: true }));
  mkdirSync(layout.downloadsDirectory, { recursive: true });
  const installed = createInstalledStore(layout);
  const nowMs = Date.now();
  const clock = { wallMs: () => nowMs };
  const log = createLogger({ level: 'info', format: 'text', clock, write: () => undefined });
  const clockFloor = { isBelow: () => false };
  /** 100 bytes under each name of an item, notes of 10 bytes beside them. */
  const leave = (id: string, ageDays = 0): string[] => {
    const { whole, index, patch } = itemFiles(layout, id);
    const writtenS = (nowMs - ageDays * DAY_MS) / 1000;
    return [whole, index, patch].flatMap((path) => {
      const note = `${path}.info`;
      writeFileSync(path, Buffer.alloc(100));
      writeFileSync(note, Buffer.alloc(10));
      for (const file of [path, note]) utimesSync(file, writtenS, writtenS);
      return [path, note];
    });
  };
  return { context: { layout, installed, log, clock, clockFloor, parked: createParked(layout) }, leave };
}

const missing = (files: readonly string[]): string[] => files.filter((path) => !existsSync(path));

test('making room never takes what the update itself has fetched, its patch included', (t) => {
  const { context, leave } = gatewayStore(t);
  const own = leave(OWN);
  const others = leave('other.v1.tar.gz');
  findExpendable(context, OWN).remove();
  assert.deepEqual(missing(own), []);
  assert.deepEqual(missing(others), others);
});

test('an update is not promised the place of what it has fetched itself', (t) => {
  const { context, leave } = gatewayStore(t);
  leave(OWN);
  const { bytes, inodes } = findExpendable(context, OWN);
  assert.deepEqual([bytes, inodes], [0, 0]);
  leave('other.v1.tar.gz');
  assert.deepEqual([findExpendable(context, OWN).bytes, findExpendable(context, OWN).inodes], [330, 6]);
});

test('a version that was interrupted makes room for another app, not for its own', (t) => {
  const { context } = gatewayStore(t);
  const part = join(context.layout.appsDirectory, 'other/.part-0123456789abcdef');
  mkdirSync(part, { recursive: true });
  assert.equal(findExpendable(context, 'other.v9.tar.gz').inodes, 0);
  assert.equal(findExpendable(context, OWN).inodes, 1);
  findExpendable(context, OWN).remove();
  assert.deepEqual(missing([part]), [part]);
});

test('sweeping downloads keeps all files of the update that goes on, however old they are', (t) => {
  const { context, leave } = gatewayStore(t);
  const own = leave(OWN, 90);
  const old = leave('other.v1.tar.gz', 31);
  const recent = leave('other.v2.tar.gz', 29);
  sweepDownloads(context, [OWN]);
  assert.deepEqual(missing(own), []);
  assert.deepEqual(missing(recent), []);
  assert.deepEqual(missing(old), old);
});

test('sweeping downloads keeps the eight items that were written last, and none of an app that is done', (t) => {
  const { context, leave } = gatewayStore(t);
  const done = leave('app.v1.tar.gz', 0);
  const others = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((age) => leave(`other.v${age}.tar.gz`, age));
  sweepDownloads(context, [], 'app');
  assert.deepEqual(missing(done), done);
  assert.deepEqual(missing(others.flat()), others.slice(7).flat());
});

test('an update fits without what is expendable only where that is enough, and only room is short', () => {
  const room = { path: '/', neededBytes: 100, reserveBytes: 10, freeBytes: 50, neededInodes: 1 };
  const noSpace = new GweError('STORE_NO_SPACE', 'full');
  const expendable = (bytes: number, inodes: number) => ({ bytes, inodes, remove: () => undefined });
  assert.equal(wouldFitWithout(expendable(60, 1), { rooms: [room], refusal: noSpace }), true);
  assert.equal(wouldFitWithout(expendable(59, 1), { rooms: [room], refusal: noSpace }), false);
  assert.equal(wouldFitWithout(expendable(0, 0), { rooms: [room], refusal: noSpace }), false);
  const other = new GweError('ARTIFACT_LIMIT', 'too large');
  assert.equal(wouldFitWithout(expendable(60, 1), { rooms: [room], refusal: other }), false);
});
