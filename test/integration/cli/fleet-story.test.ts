/**
 * Twenty gateways, one bad version: the six commands of src/fleet/README.md as they stand there, typed one after the
 * other, and what `show` prints there held against what it prints here. The gateways speak the real protocol.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { decodeForm, encodeForm } from '../../../src/protocol/codec.ts';
import { makeIndexed } from '../../helpers/indexed.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { runPlatformCli } from '../../helpers/platform-cli.ts';

const SECTION = sectionOf('Twenty gateways, one bad version');
const COMMANDS = blockOf('sh').trim().split('\n');

function sectionOf(heading: string): string {
  const text = readFileSync(new URL('../../../src/fleet/README.md', import.meta.url), 'utf8');
  return text.split(/^## /m).find((section) => section.startsWith(heading)) ?? '';
}

function blockOf(language: string): string {
  return new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'm').exec(SECTION)?.[1] ?? '';
}

/** How many gateways have failed so far: the first three that take version 2 do. */
interface World {
  failures: number;
}

/** One of the twenty: what it runs, and the command that it has taken. */
class Gateway {
  readonly #platform: TestPlatform;
  readonly #key: string;
  readonly #world: World;
  #runs = '1';
  #taken: string | undefined;
  #last = 'installed';

  constructor(platform: TestPlatform, key: string, world: World) {
    this.#platform = platform;
    this.#key = key;
    this.#world = world;
  }

  get runs(): string {
    return this.#runs;
  }

  /** Reports, and takes the command that it is shown; with the next one it tells what became of it. */
  async checkIn(): Promise<void> {
    const reports: [string, string][] = this.#taken === undefined ? [] : [this.#carryOut(this.#taken)];
    this.#taken = undefined;
    const previous = this.#runs === '1' ? '0' : '1';
    const row = { version: this.#runs, previous, status: 'RUNNING', last: { outcome: this.#last } };
    const apps = [{ sine: row }];
    const info = { gwe: '2.1.0', interval: 300 };
    const shown = await this.#write([
      ...reports,
      ['engine_report', JSON.stringify({ apps })],
      ['device_info', JSON.stringify(info)],
    ]);
    if (shown === '') return;
    this.#taken = shown;
    await this.#write([['engine_fetch', '']]);
  }

  #carryOut(command: string): [string, string] {
    const { id, install }: { id: string; install: { name: string }[] } = JSON.parse(command);
    const version = /\.v(.+)\.tar\.gz$/.exec(install[0]?.name ?? '')?.[1] ?? '';
    const isBad = version === '2' && this.#world.failures < 3;
    if (isBad) this.#world.failures += 1;
    else this.#runs = version;
    const failure = { outcome: 'rolled-back', code: 'INSTALL_FAILED', reason: 'cannot open /dev/ttyS9' };
    const end = isBad ? failure : { outcome: 'installed' };
    this.#last = end.outcome;
    return ['fetch_status', JSON.stringify({ name: 'sine', version, tx: id, command: id, ...end })];
  }

  async #write(values: [string, string][]): Promise<string> {
    const reply = await fetch(`${this.#platform.url}/onep:v1/stack/alias?engine_fetch`, {
      method: 'POST',
      headers: {
        'X-Exosite-CIK': this.#key,
        'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
      },
      body: encodeForm(values),
    });
    return new Map(decodeForm(await reply.text())).get('engine_fetch') ?? '';
  }
}

interface Story {
  gateways: Gateway[];
  /** Each gateway checks in, one after the other. */
  checkIns(): Promise<void>;
  /** What a command prints. */
  type(line: string): Promise<string>;
}

async function openStory(t: TestContext): Promise<Story> {
  const platform = await startPlatform();
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-story-'));
  t.after(async () => {
    rmSync(scratch, { recursive: true });
    await platform.close();
  });
  writeFileSync(join(scratch, 'token'), platform.token, { mode: 0o600 });
  const world = { failures: 0 };
  const gateways: Gateway[] = [];
  for (let number = 1; number <= 20; number++) {
    const serial = `gw-${String(number).padStart(2, '0')}`;
    await platform.addDevice('acme', serial);
    gateways.push(new Gateway(platform, await platform.activate('acme', serial), world));
  }
  for (const version of ['1', '2']) {
    const tarball = await makeIndexed(
      { name: 'sine', version },
      { 'install.sh': `#!/bin/sh\n# ${version}\n` },
    );
    writeFileSync(join(scratch, `sine.v${version}.tar.gz`), tarball);
    if (version === '1') await platform.putContent('acme', 'sine.v1.tar.gz', tarball);
  }
  const env = { GWE_PLATFORM_URL: platform.url, GWE_PLATFORM_TOKEN_FILE: join(scratch, 'token') };
  return {
    gateways,
    async checkIns() {
      for (const gateway of gateways) await gateway.checkIn();
    },
    async type(line) {
      const [program, ...words] = line.split(' ');
      assert.equal(program, 'gwe');
      const { status, stdout } = await runPlatformCli(words, { env, cwd: scratch });
      assert.equal(status, 0, line);
      return stdout;
    },
  };
}

test('a bad version is found, stopped and undone in six commands', async (t) => {
  assert.equal(COMMANDS.length, 6);
  const [put = '', plan = '', start = '', status = '', show = '', undo = ''] = COMMANDS;
  const { gateways, checkIns, type } = await openStory(t);
  await checkIns();
  const runs = (): string[] => gateways.map((gateway) => gateway.runs).sort();

  assert.match(await type(put), /^sine\.v2\.tar\.gz of acme: \d+ bytes/m);
  assert.match(await type(plan), /^20 gateways in waves of 5, 15, about /);
  const [, id = ''] = /^(r\w+) {2}sine 2 {2}running, wave 1 of 2\n/.exec(await type(start)) ?? [];
  for (let round = 0; round < 3; round++) await checkIns();
  assert.deepEqual(
    runs(),
    [...Array.from({ length: 18 }, () => '1'), '2', '2'],
    'fifteen were never shown it',
  );

  const found = await type(status);
  assert.match(found, /^20 gateways, 0 silent, 0 never seen, 3 with a failing app$/m);
  assert.match(found, /^sine: 1 on 18, 2 on 2$/m);
  assert.match(
    found,
    new RegExp(
      `^rollout ${id} \\(sine 2\\) is paused: 3 failed and 0 silent of 3 that ended \\(wave 1\\): none has succeeded$`,
      'm',
    ),
  );

  assert.equal(found.match(/^gw-\d\d: app sine: last update rolled-back$/gm)?.length, 3);
  const shown = await type(show.replace('ROLLOUT', id));
  const plain = shown
    .replaceAll(id, 'ROLLOUT')
    .replace(/\(gw-\d\d, gw-\d\d, gw-\d\d\)/, '(gw-03, gw-11, gw-17)');
  assert.equal(plain, blockOf('text'));

  assert.match(await type(undo.replace('ROLLOUT', id)), /^r\w+ {2}undo of sine 2 {2}running, wave 1 of 1\n$/);
  for (let round = 0; round < 3; round++) await checkIns();
  assert.deepEqual(
    runs(),
    Array.from({ length: 20 }, () => '1'),
  );
  assert.match(await type(status), /^sine: 1 on 20$/m);
});
