/** What the build prepares of gwe's code is the same every time, and the runtime of the executable takes it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Script } from 'node:vm';

const PACKAGING = join(import.meta.dirname, '../../../src/packaging');
const WARM_UP = join(PACKAGING, 'warm-up.mjs');

/** The build is plain JavaScript, without types. */
async function bundle(): Promise<string> {
  const made: { bundle(): Promise<string> } = await import(join(PACKAGING, 'executable.mjs'));
  return made.bundle();
}

function runtime(...args: string[]) {
  const { status, stderr } = spawnSync(process.execPath, args, {
    env: { PATH: process.env.PATH },
    encoding: 'utf8',
  });
  return { status, stderr };
}

test('two warm-ups give the same cache, with the functions of a check-in in it', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-warm-up-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [text, one, other] = ['gwe.js', 'one', 'other'].map((name) => join(directory, name));
  assert.ok(text !== undefined && one !== undefined && other !== undefined);
  writeFileSync(text, `(function (require) {${await bundle()}\n})`);
  for (const cache of [one, other]) {
    assert.deepEqual(runtime('--predictable', WARM_UP, text, cache), { status: 0, stderr: '' });
  }
  assert.ok(readFileSync(one).equals(readFileSync(other)));
  const cold = new Script(readFileSync(text, 'latin1'), { filename: 'gwe.js' }).createCachedData();
  assert.ok(statSync(one).size > 2 * cold.length);
  assert.equal(runtime(WARM_UP, '--check', text, one).status, 0);
  assert.equal(
    runtime('--no-flush-bytecode', WARM_UP, '--check', text, one).status,
    1,
    'another set of flags',
  );
});
