/** What an app mounts in its version's directory is not gwe's: gwe never deletes through it. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { parseMountinfo } from '../../../../src/base/mount-points.ts';
import { asRoot } from '../../../helpers/as-root.ts';
import { type CommandLine, createCommandLine } from '../../../helpers/command-line.ts';
import { unmount } from '../../../helpers/mounts.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

const test = asRoot(import.meta.filename);

const MOUNTS_ITS_DATA = `#!/bin/sh
mkdir -p "$GWE_APP_DIR/data"
mountpoint -q "$GWE_APP_DIR/data" || mount --bind ../../../../../userdata "$GWE_APP_DIR/data"
`;

/** A gateway whose app mounts `userdata` in each of its versions. */
function gatewayWithData(t: TestContext): CommandLine & { precious: string } {
  const line = createCommandLine();
  t.after(() => {
    for (const at of mountsOf(line)) unmount(at);
    line.remove();
  });
  mkdirSync(join(line.root, 'userdata'));
  const precious = join(line.root, 'userdata/precious.db');
  writeFileSync(precious, 'years of data');
  return Object.assign(line, { precious });
}

function mountsOf(line: CommandLine): string[] {
  const mounts = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  return mounts.map(({ path }) => path).filter((path) => path.startsWith(`${line.root}/`));
}

interface Installed {
  outcome: string;
  notes: string[];
}

function install(line: CommandLine, version: string, script = MOUNTS_ITS_DATA): Installed {
  line.file(`hello.v${version}.tar.gz`, makeTarball({ 'install.sh': script, version }));
  const done = line.gwe('-I', `hello.v${version}.tar.gz`, '--json');
  return JSON.parse(done.stdout).installs[0];
}

test('an old version in which something is mounted stays, the report and the log name it, and it goes when it can', (t) => {
  const line = gatewayWithData(t);
  install(line, '1');
  install(line, '2');
  const [first] = mountsOf(line).filter((path) => path.includes('/1-'));
  const third = install(line, '3');
  assert.equal(third.outcome, 'installed');
  assert.ok(
    third.notes.some((note) => note.includes('version 1 stays') && note.includes(`'${first}'`)),
    String(third.notes),
  );
  const again = line.gwe('-I', 'hello.v3.tar.gz').stderr;
  assert.equal(again.split(`'${first}'`).length, 2, again);
  assert.equal(readFileSync(line.precious, 'utf8'), 'years of data');
  const apps = join(line.root, 'opt/gwe/apps/hello');
  assert.equal(readdirSync(apps).filter((name) => name.startsWith('1-')).length, 1);
  unmount(first ?? '');
  install(line, '3');
  assert.deepEqual(
    readdirSync(apps).filter((name) => name.startsWith('1-')),
    [],
  );
  assert.equal(readFileSync(line.precious, 'utf8'), 'years of data');
});

test('removing the app leaves what is mounted in it, says so, and tries again', (t) => {
  const line = gatewayWithData(t);
  install(line, '1');
  const apps = join(line.root, 'opt/gwe/apps/hello');
  writeFileSync(join(apps, 'notes.txt'), 'of the operator');
  const removed = JSON.parse(line.gwe('remove', 'hello', '--yes', '--json').stdout);
  const [mount] = mountsOf(line);
  assert.ok(
    removed.left.some((text: string) => text.includes(`'${mount}'`)),
    String(removed.left),
  );
  assert.ok(removed.left.includes(`${apps}/notes.txt, which gwe did not make`), String(removed.left));
  assert.equal(readFileSync(line.precious, 'utf8'), 'years of data');
  unmount(mount ?? '');
  line.file('other.v1.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\n' }));
  line.gwe('-I', 'other.v1.tar.gz');
  assert.deepEqual(readdirSync(apps), ['notes.txt']);
  assert.ok(existsSync(line.precious));
});
