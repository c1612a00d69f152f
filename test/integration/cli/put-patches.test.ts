/** `gwe platform content put` makes patches from the versions that the fleet runs, of what is in the content area. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { encodeForm } from '../../../src/protocol/codec.ts';
import { noise } from '../../helpers/fault-updates.ts';
import { makeIndexed } from '../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { type CliRun, runPlatformCli } from '../../helpers/platform-cli.ts';

const PROGRAM = noise('program', 400_000);

/** Each version differs by a byte in every kilobyte, as compiled code does whose addresses have moved: no chunk stays. */
async function version(number: number): Promise<Buffer> {
  const program = Buffer.from(PROGRAM);
  for (let at = 100; at < program.length; at += 1024) program[at] = (program[at] ?? 0) + number;
  const entries = { 'install.sh': '#!/bin/sh\n', 'bin/program': { content: program } };
  return makeIndexed({ name: 'hello', version: `${number}` }, entries);
}

interface Rig {
  platform: TestPlatform;
  put(number: number, ...options: string[]): Promise<CliRun>;
  ids(): Promise<string[]>;
}

/** `runs`: the version of each gateway. */
async function openRig(t: TestContext, runs: readonly string[]): Promise<Rig> {
  const platform = await startPlatform();
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-put-'));
  t.after(async () => {
    rmSync(scratch, { recursive: true });
    await platform.close();
  });
  const token = join(scratch, 'token');
  writeFileSync(token, platform.token, { mode: 0o600 });
  for (const [at, running] of runs.entries()) {
    await platform.addDevice('p', `gw-${at}`);
    const cik = await platform.activate('p', `gw-${at}`);
    const report = JSON.stringify({ apps: [{ hello: { version: running, status: 'RUNNING' } }] });
    await fetch(`${platform.url}/onep:v1/stack/alias`, {
      method: 'POST',
      headers: { 'X-Exosite-CIK': cik, 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' },
      body: encodeForm([['engine_report', report]]),
    });
  }
  const client = ['--url', platform.url, '--token-file', token];
  return {
    platform,
    async put(number, ...options) {
      const file = join(scratch, `hello.v${number}.tar.gz`);
      writeFileSync(file, await version(number));
      return runPlatformCli(['platform', 'content', 'put', 'p', file, ...options, ...client]);
    },
    async ids() {
      const listed = await runPlatformCli(['platform', 'content', 'list', 'p', '--json', ...client]);
      const { content }: { content: { id: string }[] } = JSON.parse(listed.stdout);
      return content.map(({ id }) => id);
    },
  };
}

test('patches from the versions that the fleet runs are made and uploaded with a tarball', async (t) => {
  const { put, ids } = await openRig(t, ['1', '1', '2']);
  await put(1);
  const second = await put(2);
  assert.equal(second.stderr, '');
  assert.match(
    second.stdout,
    /^hello\.v2\.[0-9a-f]{8}-[0-9a-f]{8}\.patch of p: a patch from 1, saves .* on each of 2 gateways\n/,
  );
  const third = await put(3);
  assert.equal(third.stdout.match(/a patch from [12], saves/g)?.length, 2, third.stdout + third.stderr);
  assert.equal((await ids()).filter((id) => /^hello\.v3\..*\.patch$/.test(id)).length, 2);
});

test('a version that is not in the content area, and one by itself, go without; so does who wants none', async (t) => {
  const { put, ids } = await openRig(t, ['0', '1']);
  await put(1);
  const run = await put(2);
  assert.match(run.stderr, /no patch from 0: it is not in the content area/);
  assert.match(run.stdout, /hello\.v2\.tar\.gz of p: \d+ bytes/);
  const before = (await ids()).length;
  assert.doesNotMatch((await put(3, '--without-patches')).stdout, /patch/);
  assert.equal((await ids()).length, before + 1);
});
