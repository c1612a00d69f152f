/** What an update that has ended leaves on the disk, and what goes with it. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  keepLastFailed,
  pruneVersions,
  removeCancelled,
  removeDownload,
} from '../../../../src/agent/effects/clean-up.ts';
import { itemFiles } from '../../../../src/store/downloads.ts';
import { withRefusal } from '../../../../src/store/installed.ts';
import { appDirectory, currentLink, versionDirectoryName } from '../../../../src/store/layout.ts';
import type { Transaction } from '../../../../src/update/journal.ts';
import { agentParts, transactionOf, VERSION_1 } from '../../../helpers/agent-parts.ts';

const failedBy = (code: string, state: string) => ({ failure: { code, state, message: 'it broke' } });
const version = (name: string) => ({ ...VERSION_1, version: name, digest: name.repeat(64).slice(0, 64) });

/** Directories of the versions, each with an install.sh. */
function disk(t: TestContext, versions: readonly string[]) {
  const { context, layout } = agentParts(t, { keepVersions: 2 });
  const directory = appDirectory(layout, 'app');
  for (const name of versions.map((each) => versionDirectoryName(version(each)))) {
    mkdirSync(join(directory, name), { recursive: true });
    writeFileSync(join(directory, name, 'install.sh'), '');
  }
  const left = (): string[] =>
    readdirSync(directory)
      .filter((name) => name !== 'current')
      .map((name) => name.split('-')[0] ?? '')
      .sort();
  return { context, layout, left };
}

function isDownloadKept(t: TestContext, changes: Partial<Transaction>): boolean {
  const { context, layout } = agentParts(t);
  const { whole } = itemFiles(layout, 'app.v2.tar.gz');
  mkdirSync(layout.downloadsDirectory, { recursive: true });
  writeFileSync(whole, 'bytes');
  removeDownload(context, transactionOf(changes));
  return existsSync(whole);
}

test('a download that the network cut short waits for the next command; any other goes', (t) => {
  const offline = failedBy('PROTOCOL_OFFLINE', 'downloading');
  assert.equal(isDownloadKept(t, { state: 'failed', ...offline }), true);
  assert.equal(isDownloadKept(t, { state: 'failed', ...offline, isCancelled: true }), false);
  assert.equal(isDownloadKept(t, { state: 'failed', ...failedBy('ARTIFACT_FORMAT', 'downloading') }), false);
  assert.equal(
    isDownloadKept(t, { state: 'rolled-back', ...failedBy('INSTALL_FAILED', 'installing') }),
    false,
  );
  assert.equal(isDownloadKept(t, { state: 'committed' }), false);
});

test('an update from a file leaves alone what the platform has sent under the same name', (t) => {
  assert.equal(isDownloadKept(t, { state: 'committed', source: { kind: 'file', path: '/a' } }), true);
});

test('a success leaves the active version and the one before', (t) => {
  const { context, left } = disk(t, ['1', '2', '3', '4']);
  context.installed.set('app', { active: version('4'), previous: version('2'), refused: [] });
  pruneVersions(context, 'app');
  assert.deepEqual(left(), ['2', '4']);
});

test('of versions that were taken back the last one stays, until a success', (t) => {
  const { context, left } = disk(t, ['1', '2', '3']);
  const refusal = { contentId: 'x', commandDigest: 'c', reason: 'it broke' };
  let record = withRefusal(
    { active: version('1'), refused: [] },
    { ...refusal, digest: version('2').digest },
  );
  record = withRefusal(record, { ...refusal, digest: version('3').digest });
  context.installed.set('app', record);
  keepLastFailed(context, transactionOf({ ...version('3'), state: 'rolled-back', previous: version('1') }));
  assert.deepEqual(left(), ['1', '3']);
  context.installed.set('app', { ...record, active: version('1') });
  pruneVersions(context, 'app');
  assert.deepEqual(left(), ['1']);
});

test('what a cancelled update had unpacked goes, unless somebody needs it', (t) => {
  const { context, layout, left } = disk(t, ['1', '2', '3']);
  context.installed.set('app', { active: version('1'), refused: [] });
  const cancelled = (name: string, previous: string) =>
    removeCancelled(context, transactionOf({ ...version(name), previous: version(previous) }));
  cancelled('1', '3');
  cancelled('2', '2');
  assert.deepEqual(left(), ['1', '2', '3']);
  symlinkSync(versionDirectoryName(version('3')), currentLink(layout, 'app'));
  cancelled('3', '1');
  assert.deepEqual(left(), ['1', '2', '3']);
  cancelled('2', '1');
  assert.deepEqual(left(), ['1', '3']);
});
