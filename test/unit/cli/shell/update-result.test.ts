/** Which version a command says is active: what `current` points at, whatever was meant to be. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeUpdate, updateResult } from '../../../../src/cli/shell/update-result.ts';
import { createLayout } from '../../../../src/store/layout.ts';
import type { Transaction } from '../../../../src/update/journal.ts';
import { createTestIo } from '../../../helpers/command-io.ts';

const record = { digest: 'a'.repeat(64), contentId: 'app.v1.tar.gz', hasProgram: true, installedAtMs: 0 };
const failure = { state: 'activating', code: 'SUPERVISOR_UNHEALTHY', message: 'it ends' };
const transaction: Transaction = {
  id: 'tx',
  app: 'app',
  version: '2',
  contentId: 'app.v2.tar.gz',
  source: { kind: 'content' },
  commandDigest: '',
  state: 'rollback-failed',
  saves: 1,
  resumes: 0,
  deferrals: 0,
  startedAtMs: 0,
  digest: 'b'.repeat(64),
  previous: { version: '1', ...record },
  notes: [],
  failure,
  rollbackFailure: { ...failure, state: 'rolling-back' },
  bytesFetched: 0,
  closed: true,
};

for (const [what, link, active] of [
  ['could not be taken back', '2-bbbbbbbb', '2'],
  ['was taken back and did not start', '1-aaaaaaaa', '1'],
  ['left nothing', undefined, undefined],
] as const) {
  test(`after an update that ${what} the link says which version is active`, (t) => {
    const root = mkdtempSync(join(tmpdir(), 'gwe-result-'));
    t.after(() => rmSync(root, { recursive: true }));
    const layout = createLayout(root);
    mkdirSync(join(layout.appsDirectory, 'app'), { recursive: true });
    if (link !== undefined) symlinkSync(link, join(layout.appsDirectory, 'app', 'current'));
    assert.equal(updateResult(layout, transaction).active, active);
  });
}

test('a version that was active already is unchanged, as in the report', () => {
  const { io, stdout } = createTestIo('/');
  const result = {
    app: 'app',
    appVersion: '2',
    outcome: 'unchanged',
    from: '2',
    notes: ['it ran again'],
  } as const;
  describeUpdate(io, result);
  assert.match(stdout(), /^app 2: unchanged\n/);
});
