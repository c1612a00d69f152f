import assert from 'node:assert/strict';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { leaveRemovedDirectory } from '../../../src/base/execve.ts';

test('a working directory is left only where it has been removed', (t) => {
  const before = process.cwd();
  t.after(() => process.chdir(before));
  const directory = mkdtempSync(join(tmpdir(), 'gwe-cwd-'));
  process.chdir(directory);
  leaveRemovedDirectory();
  assert.equal(process.cwd(), directory);
  rmdirSync(directory);
  leaveRemovedDirectory();
  assert.equal(process.cwd(), '/');
});
