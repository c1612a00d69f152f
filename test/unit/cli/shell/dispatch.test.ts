import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ProcessControl } from '../../../../src/agent/idle/handover.ts';
import { dispatch } from '../../../../src/cli/dispatch.ts';
import { createTestIo } from '../../../helpers/command-io.ts';

const control: ProcessControl = {
  command: undefined,
  onWake: () => undefined,
  releaseSignals: () => undefined,
  holdSignals: () => undefined,
};

async function run(...argv: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const { io, stdout, stderr } = createTestIo('/', '', { env: {} });
  const status = await dispatch(argv, io, { control });
  return { status, stdout: stdout(), stderr: stderr() };
}

for (const order of ['before', 'behind', 'joined'] as const) {
  test(`--root may stand ${order === 'behind' ? 'behind' : 'before'} a command (${order})`, async () => {
    const root = join(mkdtempSync(join(tmpdir(), 'gwe-dispatch-')), 'gw');
    const words = {
      before: ['--root', root, 'list'],
      behind: ['list', '--root', root],
      joined: [`--root=${root}`, 'list'],
    };
    assert.deepEqual(await run(...words[order]), {
      status: 0,
      stdout: 'no apps are installed\n',
      stderr: '',
    });
  });
}

test('--root without a directory is a usage error', async () => {
  const { status, stderr } = await run('--root');
  assert.equal(status, 2);
  assert.match(stderr, /--root needs a value: DIR/);
});
