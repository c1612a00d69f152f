/** Room that is kept for finishing an update on a full disk. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { BALLAST_BYTES, createBallast } from '../../../src/store/ballast.ts';

function ballastPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-ballast-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'state/ballast');
}

test('holds room that no compressing file system can take back, and is taken once', (t) => {
  const path = ballastPath(t);
  const ballast = createBallast(path);
  ballast.take();
  const bytes = readFileSync(path);
  assert.ok(gzipSync(bytes).length >= BALLAST_BYTES);
  const { mtimeMs } = statSync(path);
  ballast.take();
  assert.equal(statSync(path).mtimeMs, mtimeMs);
});

test('is given up once, and can be taken again', (t) => {
  const path = ballastPath(t);
  const ballast = createBallast(path);
  assert.equal(ballast.release(), false);
  ballast.take();
  assert.equal(ballast.release(), true);
  assert.equal(existsSync(path), false);
  assert.equal(ballast.release(), false);
  ballast.take();
  assert.equal(existsSync(path), true);
});
