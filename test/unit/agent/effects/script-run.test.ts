/** A script that an earlier start of gwe has put into the journal: what its end, or the lack of one, is taken for. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { runInstaller } from '../../../../src/agent/effects/install-script.ts';
import { createSystemClock, uptimeMs } from '../../../../src/base/clock.ts';
import { bootId, readProcessStat } from '../../../../src/base/process.ts';
import { versionDirectory } from '../../../../src/store/layout.ts';
import type { ScriptRecord } from '../../../../src/update/journal.ts';
import { agentParts, transactionOf } from '../../../helpers/agent-parts.ts';

/** A shell in a session of its own waits for the word to begin, which never comes; the clock's first wait sees it die. */
async function neverBegun(t: TestContext, runs: number) {
  const { context, layout } = agentParts(t);
  const system = createSystemClock();
  const version = { version: '2', digest: '2'.repeat(64) };
  const directory = versionDirectory(layout, 'app', version);
  const shell = spawn('/bin/sh', ['-c', 'read go || exit 125'], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  t.after(() => shell.kill());
  const pid = shell.pid ?? 0;
  const script: ScriptRecord = {
    pid,
    startTicks: readProcessStat(pid)?.startTicks ?? '',
    bootId: bootId(),
    purpose: `installing install.sh ${basename(directory)}`,
    id: 'begun',
    startedUptimeMs: uptimeMs(),
    runs,
  };
  const marker = join(layout.root, 'ran');
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'install.sh'), `#!/bin/sh\necho again >> ${marker}\n`, { mode: 0o755 });
  const ended = once(shell, 'exit');
  const waiting = {
    ...system,
    sleep: async (ms: number, signal?: AbortSignal): Promise<void> => {
      shell.stdin.end();
      await ended;
      await system.sleep(ms, signal);
    },
  };
  const result = runInstaller(
    { ...context, clock: waiting },
    {
      transaction: transactionOf({ state: 'installing', script }),
      app: 'app',
      version: '2',
      directory,
      previousVersion: '1',
      previousDirectory: undefined,
      isOneOff: true,
      signal: new AbortController().signal,
      record: () => undefined,
    },
  );
  return { result, marker };
}

test('an install.sh that was never let begin, because gwe or its disk failed right before, runs at the next start', async (t) => {
  const { result, marker } = await neverBegun(t, 1);
  const { notes, exitCode } = await result;
  assert.equal(exitCode, 0);
  assert.deepEqual(notes, ['install.sh was interrupted, and run again']);
  assert.equal(readFileSync(marker, 'utf8'), 'again\n');
});

test('an install.sh that is lost together with its shell twice has failed', async (t) => {
  const { result } = await neverBegun(t, 2);
  await assert.rejects(result, /was ended together with the shell/);
});
