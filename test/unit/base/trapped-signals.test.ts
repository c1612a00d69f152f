import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

const SOURCE = new URL('../../../src/base/trapped-signals.ts', import.meta.url);

/** A process that gets `signal` between its last turn of the event loop and the removal of the listener. */
async function catchLate(signal: string): Promise<unknown> {
  const script = `
    import { setTimeout as delay } from 'node:timers/promises';
    import { readTrappedSignals } from '${SOURCE}';
    let heard = 0;
    process.on('SIGTERM', () => heard++);
    process.on('SIGHUP', () => heard++);
    await delay(1);
    if ('${signal}' !== '') process.kill(process.pid, '${signal}');
    for (const name of ['SIGTERM', 'SIGHUP']) process.removeAllListeners(name);
    const trapped = readTrappedSignals();
    await delay(20);
    const before = process.cpuUsage();
    await delay(200);
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify({ heard, trapped, isBusy: user + system > 100_000 }));`;
  const argv = ['--no-warnings', '--input-type=module-typescript', '-e', script];
  const { stdout } = await promisify(execFile)(process.execPath, argv, { timeout: 90_000 });
  return JSON.parse(stdout);
}

test('a signal that came before its listener went is found, and the event loop rests afterwards', async () => {
  assert.deepEqual(await catchLate('SIGTERM'), { heard: 0, trapped: [15], isBusy: false });
  assert.deepEqual(await catchLate('SIGHUP'), { heard: 0, trapped: [1], isBusy: false });
});

test('without one there is nothing to find', async () => {
  assert.deepEqual(await catchLate(''), { heard: 0, trapped: [], isBusy: false });
});
