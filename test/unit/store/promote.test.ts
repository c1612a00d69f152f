import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLayout, type Layout } from '../../../src/store/layout.ts';
import { promote, resetStaging } from '../../../src/store/versions.ts';
import { installDiskFaults } from '../../helpers/disk-faults.ts';

const VERSION = { app: 'one', version: '1', digest: 'abcdef0123', transactionId: 'tx', rootPrefix: 'top' };

function withStaged(work: (layout: Layout, target: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'gwe-promote-'));
  try {
    const layout = createLayout(root);
    const top = join(resetStaging(layout, 'one', 'tx'), 'top');
    mkdirSync(top);
    writeFileSync(join(top, 'VERSION'), 'new');
    work(layout, join(layout.appsDirectory, 'one/1-abcdef01'));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function said(target: string): string {
  return readFileSync(join(target, 'VERSION'), 'utf8');
}

test('the active version, when its directory is gone, is put in its place again', () => {
  withStaged((layout, target) => {
    symlinkSync('1-abcdef01', join(layout.appsDirectory, 'one/current'));
    assert.equal(promote(layout, VERSION), target);
    assert.equal(said(target), 'new');
  });
});

test('the active version, when it is there, is left as it is', () => {
  withStaged((layout, target) => {
    symlinkSync('1-abcdef01', join(layout.appsDirectory, 'one/current'));
    mkdirSync(target);
    writeFileSync(join(target, 'VERSION'), 'old');
    promote(layout, VERSION);
    assert.equal(said(target), 'old');
  });
});

test('a version that was to be replaced is there again when the disk fails in the middle', () => {
  withStaged((layout, target) => {
    mkdirSync(target);
    writeFileSync(join(target, 'VERSION'), 'old');
    const disk = installDiskFaults();
    try {
      disk.set(join(layout.appsDirectory, 'one/.staging-tx'), { code: 'EIO', hits: 0 });
      assert.throws(() => promote(layout, VERSION), /injected/);
    } finally {
      disk.restore();
    }
    assert.equal(said(target), 'old');
  });
});
