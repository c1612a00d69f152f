/** A platform whose gateways run versions of an app that patches pay for. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { encodeForm } from '../../src/protocol/codec.ts';
import { noise } from './fault-updates.ts';
import { makeIndexed } from './indexed.ts';
import { startPlatform, type TestPlatform } from './platform.ts';
import { type CliRun, runPlatformCli } from './platform-cli.ts';

const PROGRAM = noise('program', 400_000);

/** Each version differs by a byte in every kilobyte, as compiled code does whose addresses have moved: no chunk stays. */
async function version(number: number): Promise<Buffer> {
  const program = Buffer.from(PROGRAM);
  for (let at = 100; at < program.length; at += 1024) program[at] = (program[at] ?? 0) + number;
  const entries = { 'install.sh': '#!/bin/sh\n', 'bin/program': { content: program } };
  return makeIndexed({ name: 'hello', version: `${number}` }, entries);
}

export interface PatchRig {
  /** Runs a command with the platform's address and token. */
  gwe(...words: string[]): Promise<CliRun>;
  /** The same with a token of the role `releaser`. */
  asReleaser(...words: string[]): Promise<CliRun>;
  platform: TestPlatform;
  /** The path of the tarball of that version, made there. */
  write(number: number): Promise<string>;
  put(number: number, ...options: string[]): Promise<CliRun>;
  ids(): Promise<string[]>;
}

/** `runs`: the version of each gateway. */
export async function openPatchRig(t: TestContext, runs: readonly string[]): Promise<PatchRig> {
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
  const write = async (number: number): Promise<string> => {
    const file = join(scratch, `hello.v${number}.tar.gz`);
    writeFileSync(file, await version(number));
    return file;
  };
  const client = ['--url', platform.url, '--token-file', token];
  return {
    platform,
    gwe: (...words) => runPlatformCli([...words, ...client]),
    async asReleaser(...words) {
      const create = ['fleet', 'token', 'create', 'build', '--role', 'releaser'];
      const file = join(scratch, 'releaser');
      writeFileSync(file, (await runPlatformCli([...create, ...client])).stdout, { mode: 0o600 });
      return runPlatformCli([...words, '--url', platform.url, '--token-file', file]);
    },
    write,
    async put(number, ...options) {
      const file = await write(number);
      return runPlatformCli(['platform', 'content', 'put', 'p', file, ...options, ...client]);
    },
    async ids() {
      const listed = await runPlatformCli(['platform', 'content', 'list', 'p', '--json', ...client]);
      const { content }: { content: { id: string }[] } = JSON.parse(listed.stdout);
      return content.map(({ id }) => id);
    },
  };
}
