import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { openLog } from '../../../../src/cli/gateway/run.ts';
import { createLayout } from '../../../../src/store/layout.ts';
import { createTestIo } from '../../../helpers/command-io.ts';

test('a level that is set while gwe runs counts within a second, and an unreadable file changes nothing', (t) => {
  const layout = createLayout(mkdtempSync(`${tmpdir()}/gwe-level-`));
  t.after(() => rmSync(layout.root, { recursive: true }));
  mkdirSync(dirname(layout.engineConfig), { recursive: true });
  let nowMs = 0;
  const clock = { monotonicMs: () => nowMs, wallMs: () => 0, sleep: async () => undefined };
  const { io, stderr } = createTestIo(layout.root, '', { clock });
  const log = openLog(io, layout).with({ tx: 'a' });
  const written = (): number => {
    const before = stderr().length;
    log.debug('agent.sleep', {});
    log.info('agent.stop', {});
    return stderr().slice(before).split('\n').length - 1;
  };
  assert.equal(written(), 1);
  writeFileSync(layout.engineConfig, '[engine]\ndebug_level = DEBUG\n');
  assert.equal(written(), 1);
  nowMs += 1000;
  assert.equal(written(), 2);
  writeFileSync(layout.engineConfig, Buffer.alloc(2 ** 21, '['));
  nowMs += 1000;
  assert.equal(written(), 2);
  writeFileSync(layout.engineConfig, '[engine]\ndebug_level = WARNING\n');
  nowMs += 1000;
  assert.equal(written(), 0);
});
