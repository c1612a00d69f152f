/** installed.json, rebuilt: the links say what is active, and whatever else is left says the rest. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { manifestDigest } from '../../../src/artifact/manifest/meta-files.ts';
import { appendHistory } from '../../../src/store/history.ts';
import { withRefusal } from '../../../src/store/installed.ts';
import { createInstalledStore } from '../../../src/store/installed-store.ts';
import { createLayout, type Layout } from '../../../src/store/layout.ts';

const digest = (letter: string): string => letter.repeat(64);
let layout: Layout;
beforeEach(() => {
  layout = createLayout(mkdtempSync(join(tmpdir(), 'gwe-rebuild-')));
});
afterEach(() => rmSync(layout.root, { recursive: true }));

function version(app: string, name: string, files: Readonly<Record<string, string | Buffer>> = {}): void {
  const directory = join(layout.appsDirectory, app, name);
  mkdirSync(join(directory, '.gwe'), { recursive: true });
  for (const [path, text] of Object.entries({ 'install.sh': '', ...files }))
    writeFileSync(join(directory, path), text);
}

function activate(app: string, name: string): void {
  rmSync(join(layout.appsDirectory, app, 'current'), { force: true });
  symlinkSync(name, join(layout.appsDirectory, app, 'current'));
}

function update(
  app: string,
  to: string,
  more: { from?: string; digest?: string; endedAtMs?: number } = {},
): void {
  const times = { startedAtMs: 1, endedAtMs: 2, bytesFetched: 0 };
  appendHistory(layout, { tx: `${app}${to}`, app, version: to, outcome: 'installed', ...times, ...more });
}

const lose = (): void => writeFileSync(layout.installed, '');

test('it is the same as before where the history knows the updates, without the copy', () => {
  const store = createInstalledStore(layout);
  version('one', '1-aaaaaaaa', { 'supervisor.conf': '[supervisord]\n' });
  version('one', '2-bbbbbbbb', { 'supervisor.conf': '[supervisord]\n' });
  activate('one', '2-bbbbbbbb');
  update('one', '1', { digest: digest('a'), endedAtMs: 5 });
  update('one', '2', { digest: digest('b'), from: '1', endedAtMs: 7 });
  const record = (at: string, of: string, installedAtMs: number) => ({
    version: at,
    digest: digest(of),
    contentId: `one.v${at}.tar.gz`,
    hasProgram: true,
    installedAtMs,
  });
  const app = { active: record('2', 'b', 7), previous: record('1', 'a', 5), refused: [] };
  store.set('one', app);
  for (const isCopyLeft of [true, false]) {
    lose();
    if (!isCopyLeft) rmSync(`${layout.installed}.copy`);
    assert.deepEqual(store.all(), { one: app });
  }
  assert.match(store.repair() ?? '', /rebuilt.*unreadable/);
  assert.equal(store.repair(), undefined);
  assert.deepEqual(createInstalledStore(layout).get('one'), app);
});

test('without any history it is what the directories say; a manifest says the whole digest', () => {
  const manifest = Buffer.from('{"a":"manifest"}');
  const whole = manifestDigest(manifest);
  version('two', `1-${whole.slice(0, 8)}`, { '.gwe/manifest.json': manifest });
  activate('two', `1-${whole.slice(0, 8)}`);
  version('three', '1.0-cccccccc', { '.gwe/manifest.json': 'of another' });
  activate('three', '1.0-cccccccc');
  version('left', '1-dddddddd');
  version('gwe', '2.0-eeeeeeee');
  activate('gwe', '2.0-eeeeeeee');
  activate('left', '9-99999999');
  const apps = createInstalledStore(layout).all();
  assert.deepEqual(
    Object.keys(apps).sort(),
    ['gwe', 'three', 'two'],
    'none without a version that is active',
  );
  assert.equal(apps.gwe?.active?.version, '2.0');
  assert.equal(apps.two?.active?.digest, whole);
  assert.equal(apps.two?.active?.hasProgram, false);
  assert.equal(apps.three?.active?.digest, 'cccccccc');
  assert.equal(apps.three?.active?.version, '1.0');
});

test('a copy of the moment before does not say what is active, and its refusals stay', () => {
  const store = createInstalledStore(layout);
  const refusal = { contentId: 'x', digest: digest('f'), commandDigest: 'c', reason: 'it failed' };
  const old = {
    version: '1',
    digest: digest('a'),
    contentId: 'one.v1.tar.gz',
    hasProgram: false,
    installedAtMs: 3,
  };
  version('one', '1-aaaaaaaa');
  activate('one', '1-aaaaaaaa');
  store.set('one', withRefusal({ active: old, refused: [] }, refusal));
  version('one', '2-bbbbbbbb');
  activate('one', '2-bbbbbbbb');
  update('one', '2', { digest: digest('b'), from: '1' });
  lose();
  const { active, previous, refused } = store.get('one');
  assert.equal(active?.digest, digest('b'));
  assert.deepEqual(previous, old);
  assert.deepEqual(
    refused.map(({ digest: of, reason }) => [of, reason]),
    [[refusal.digest, refusal.reason]],
  );
});

test('an update goes on from what was rebuilt, and nothing is written where nothing is installed', () => {
  const store = createInstalledStore(layout);
  assert.equal(store.repair(), undefined);
  assert.deepEqual(store.all(), {});
  version('one', '1-aaaaaaaa');
  activate('one', '1-aaaaaaaa');
  store.set('other', { refused: [] });
  assert.deepEqual(Object.keys(createInstalledStore(layout).all()).sort(), ['one', 'other']);
});

test('of gwe itself the links count, wherever they were moved: by the launcher or by another installation', () => {
  const store = createInstalledStore(layout);
  const record = (at: string, of: string) => ({
    version: at,
    digest: digest(of),
    contentId: `gwe.v${at}.tar.gz`,
    hasProgram: false,
    installedAtMs: 3,
  });
  const point = (link: string, name: string): void => {
    rmSync(join(layout.appsDirectory, 'gwe', link), { force: true });
    symlinkSync(name, join(layout.appsDirectory, 'gwe', link));
  };
  for (const name of ['1-aaaaaaaa', '2-bbbbbbbb', '3-cccccccc']) version('gwe', name);
  store.set('gwe', { active: record('2', 'b'), previous: record('1', 'a'), refused: [] });
  point('current', '1-aaaaaaaa');
  point('previous', '2-bbbbbbbb');
  assert.deepEqual(store.get('gwe'), {
    active: record('1', 'a'),
    previous: record('2', 'b'),
    refused: [],
  });
  point('current', '3-cccccccc');
  point('previous', '3-cccccccc');
  assert.equal(store.get('gwe').active?.version, '3');
  assert.equal(store.get('gwe').previous, undefined, 'it is no way back to itself');
  rmSync(join(layout.appsDirectory, 'gwe'), { recursive: true });
  assert.deepEqual(store.all(), {}, 'uninstalled, whatever the file says');
  assert.equal(store.repair(), undefined);
});
