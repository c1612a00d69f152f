/** The runtime of each executable without what was cut out that gwe never reads answers as it does with all of it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findSymbol, readElf } from '../../src/packaging/elf.mjs';
import { isSpare, readPackage } from '../../src/packaging/icu-package.mjs';
import { withoutSpareData } from '../../src/packaging/locale-data.mjs';
import { emulatorFor, hostTarget, RUNTIMES } from '../../src/packaging/project.mjs';
import { shippedRuntime } from '../../src/packaging/runtimes.mjs';

const CHECKS = join(import.meta.dirname, 'locale-checks.cjs');
const directory = mkdtempSync(join(tmpdir(), 'gwe-locale-'));
after(() => rmSync(directory, { recursive: true }));

/** Of the executables in dist: with the bundle of gwe in them. */
const LARGEST_MB: Readonly<Record<string, number>> = {
  'linux-x64': 81,
  'linux-arm64': 76,
  'linux-armv7l': 48,
};

function answersOf(target: string, program: string): Record<string, unknown> {
  const [command = '', ...args] = [...(target === hostTarget() ? [] : emulatorFor(target)), program, CHECKS];
  return JSON.parse(execFileSync(command, args, { encoding: 'utf8' }));
}

for (const target of Object.keys(RUNTIMES)) {
  test(`${target}: its runtime answers the same without what was cut out`, async (t) => {
    const { path } = await shippedRuntime(target);
    const runtime = readFileSync(path);
    const small = join(directory, target);
    const bytes = withoutSpareData(runtime, runtime);
    writeFileSync(small, bytes, { mode: 0o755 });
    t.diagnostic(`${runtime.length} bytes before, ${bytes.length} after`);
    assert.deepEqual(answersOf(target, small), answersOf(target, path));
  });

  test(`${target}: the executable is no larger than ${LARGEST_MB[target]} MB`, (t) => {
    const { size } = statSync(join(import.meta.dirname, '../../dist', `gwe-${target}`));
    t.diagnostic(`${(size / 1e6).toFixed(1)} MB`);
    assert.ok(size <= (LARGEST_MB[target] ?? 0) * 1e6, `${size} bytes`);
  });
}

test('the same file comes out of the same file, and nothing of one that was cut already', async () => {
  const { path } = await shippedRuntime(hostTarget());
  const runtime = readFileSync(path);
  const once = withoutSpareData(runtime, runtime);
  assert.ok(once.equals(withoutSpareData(runtime, runtime)));
  assert.throws(() => withoutSpareData(once, runtime), /cannot (find|read|cut) the locale data/);
});

test('what is not understood is refused', async () => {
  const { path } = await shippedRuntime(hostTarget());
  const runtime = readFileSync(path);
  assert.throws(
    () => withoutSpareData(Buffer.from('#!/bin/sh\n'.repeat(10)), runtime),
    /expected a little-endian ELF/,
  );
  const { programs } = readElf(runtime);
  const { address } = findSymbol(runtime, /^icudt\d+_dat$/);
  const segment = programs.find(({ vaddr, filesz }) => vaddr <= address && address < vaddr + filesz);
  const at = (segment?.offset ?? 0) + address - (segment?.vaddr ?? 0);
  const foreign = Buffer.from(runtime);
  foreign.write('XXXX', at + 12, 'latin1');
  assert.throws(() => withoutSpareData(foreign, runtime), /expected a package of format 'CmnD'/);
  const disordered = Buffer.from(runtime);
  disordered.writeUInt32LE(1, at + runtime.readUInt16LE(at) + 8);
  assert.throws(() => withoutSpareData(disordered, runtime), /its items are out of order/);
});

test('root, English, and everything that is no locale stays', async () => {
  const { path } = await shippedRuntime(hostTarget());
  const runtime = readFileSync(path);
  const start = runtime.indexOf('CmnD') - 12;
  const { items } = readPackage(runtime.subarray(start, start + findSymbol(runtime, /^icudt\d+_dat$/).size));
  const kept = items
    .map(({ name }) => name.replace(/^[^/]*\//, ''))
    .filter((name) => !isSpare(`icu/${name}`));
  for (const name of [
    'root.res',
    'en.res',
    'pool.res',
    'metadata.res',
    'zoneinfo64.res',
    'uts46.nrm',
    'res_index.res',
  ])
    assert.ok(kept.includes(name), name);
  for (const name of ['coll/ucadata.icu', 'brkitr/word.brk', 'zone/en.res', 'curr/pool.res'])
    assert.ok(kept.includes(name), name);
  assert.ok(!kept.some((name) => /(^|\/)(de|fr|zh_Hant)\.res$/.test(name)));
});
