/** The commands of README.md, typed in order on a fresh root: those for the gateway too, by stand-ins for scp and ssh. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { removeRoot } from '../helpers/remove-root.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { until } from '../helpers/until.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
const README = readFileSync(join(REPOSITORY, 'README.md'), 'utf8');
const PRODUCT = 'readme';
const SERIAL = 'GW-README';

/** What stands between ```sh and ```, in order, without the indentation of a list. */
const typed = [...README.matchAll(/^( *)```sh\n([\s\S]*?)^\1```$/gm)].map(([, indent = '', text = '']) =>
  text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
);
/** The blocks of the section about the first app that have no language: files in full. */
const files = [
  ...README.slice(README.indexOf('## Your first app'), README.indexOf('## The path')).matchAll(
    /^```(\w*)\n([\s\S]*?)^```$/gm,
  ),
].flatMap(([, language, text = '']) => (language === '' ? [text] : []));

describe('the commands of README.md', () => {
  const root = mkdtempSync(join(tmpdir(), 'gwe-readme-'));
  const home = join(root, 'home');
  const bin = join(root, 'bin');
  let platform: TestPlatform;
  let supervisord: Supervisord;
  const env = (): NodeJS.ProcessEnv => ({
    PATH: `${bin}:${join(root, 'usr/local/bin')}:${process.env.PATH}`,
    HOME: home,
    GWE_ROOT: root,
  });

  /** What a reader puts in the place of the examples. */
  const filledIn = (text: string): string =>
    text
      .replaceAll('https://platform.example.com', platform.url)
      .replaceAll('/srv/platform/admin-token', join(root, 'admin-token'))
      .replaceAll('MY_PRODUCT', PRODUCT)
      .replaceAll('SERIAL', SERIAL)
      .replaceAll('--set-iface eth0', `--set-uuid ${SERIAL}`);

  const type = (at: number, cwd: string) =>
    new Promise<{ status: number; text: string }>((resolve) => {
      const script = `set -e\n${filledIn(typed[at] ?? '')}`;
      const options = { cwd, env: env(), timeout: 300_000 };
      execFile('sh', ['-c', script], options, (error, stdout, stderr) =>
        resolve({ status: error === null ? 0 : Number(error.code ?? 1), text: stdout + stderr }),
      );
    });

  before(async () => {
    platform = await startPlatform();
    await platform.addDevice(PRODUCT, SERIAL);
    supervisord = await startSupervisord(root);
    for (const directory of [home, bin, join(root, 'usr/local/bin')])
      mkdirSync(directory, { recursive: true });
    writeFileSync(join(root, 'admin-token'), platform.token, { mode: 0o600 });
    const standIns = {
      scp: `#!/bin/sh\ncp '${EXECUTABLE}' "${root}/\${2#*:/}"\n`,
      ssh: `#!/bin/sh\nshift\ncase $1 in chmod) exec chmod "$2" "${root}$3" ;; esac\nexit 1\n`,
    };
    for (const [name, text] of Object.entries(standIns))
      writeFileSync(join(bin, name), text, { mode: 0o755 });
  });
  after(async () => {
    await supervisord.stop();
    await platform.close();
    removeRoot(root);
  });

  test('are six blocks, which follow one another', () => {
    assert.equal(typed.length, 6, typed.join('\n--\n'));
  });

  test('make demo shows an update and a rollback', async () => {
    const { status, text } = await type(0, REPOSITORY);
    assert.equal(status, 0, text);
    assert.match(text, /rolled-back/);
  });

  test('gwe gets onto the gateway, knows who it is, and is its service', async () => {
    for (const at of [1, 2]) {
      const { status, text } = await type(at, REPOSITORY);
      assert.equal(status, 0, text);
    }
    const { text } = await type(3, home);
    await until(async () => (await supervisord.processInfo('gwe'))?.statename === 'RUNNING').catch(() => {
      throw new Error(text);
    });
    assert.match(text, /boot-guard/);
  });

  test('the first app is made, and its files are those shown', async () => {
    const { status, text } = await type(4, home);
    assert.equal(status, 0, text);
    const shown = ['install.sh', 'supervisor.conf', 'run.sh'];
    for (const [at, name] of shown.entries()) {
      const written = readFileSync(join(home, 'hello', name), 'utf8');
      assert.equal(files[at], written.replace(/^[#;] .*\n/gm, ''), name);
    }
  });

  test('it is built, uploaded, commanded and installed', async () => {
    const typing = type(5, join(home, 'hello'));
    await until(async () => (await platform.read(PRODUCT, SERIAL, 'engine_fetch')) !== undefined);
    const checkIn = spawnSync('gwe', ['check-in'], { env: env(), encoding: 'utf8' });
    assert.equal(checkIn.status, 0, checkIn.stderr);
    const { status, text } = await typing;
    assert.equal(status, 0, text);
    assert.match(text, /installed/);
    assert.equal((await supervisord.processInfo('hello'))?.statename, 'RUNNING');
  });
});
