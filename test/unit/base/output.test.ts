/** Text reaches the standard streams whole, whatever is at their other end. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const MODULE = join(import.meta.dirname, '../../../src/base/output.ts');
const MUCH = 1024 * 1024;

function writer(code: string) {
  const script = `import { mayBeTerminal, writeOutput } from ${JSON.stringify(MODULE)};\n${code}`;
  return spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function read(child: ReturnType<typeof writer>) {
  let [told, complained] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    told += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    complained += chunk.toString();
  });
  const status = await new Promise((resolve) => child.once('close', resolve));
  return { told, complained, status };
}

test('all of a long text arrives, and what comes after it comes behind it', async () => {
  const { told } = await read(writer(`writeOutput(1, 'a'.repeat(${MUCH})); writeOutput(1, 'é\\n');`));
  assert.equal(told.length, MUCH + 2);
  assert.ok(told.endsWith('aé\n'));
});

test('so does it where somebody has made the pipe non-blocking', async () => {
  // A socket of the runtime's does that; the blunt write shows that it has.
  const blunt = `try { for (;;) fs.writeSync(1, 'b'.repeat(${MUCH})) } catch (error) { fs.writeSync(2, error.code) }`;
  const code = `import fs from 'node:fs';\nimport net from 'node:net';\nnew net.Socket({ fd: 1, readable: false, writable: true }).unref(); ${blunt}\nwriteOutput(1, 'a'.repeat(${MUCH}));`;
  const { told, complained } = await read(writer(code));
  assert.equal(complained, 'EAGAIN');
  assert.equal(told.replaceAll('b', '').length, MUCH);
});

test('a reader that has gone is an error to its caller', async () => {
  const code = `
    process.stdin; await new Promise((resolve) => setTimeout(resolve, 0));
    try { for (;;) writeOutput(1, 'a'.repeat(${MUCH})) } catch (error) { writeOutput(2, error.code) }`;
  const child = writer(code);
  child.stdout.destroy();
  const { complained } = await read(child);
  assert.equal(complained, 'EPIPE');
});

test('a pipe is no terminal', async () => {
  const { told } = await read(writer(`writeOutput(1, [mayBeTerminal(1), mayBeTerminal(2)].join())`));
  assert.equal(told, 'false,false');
});
