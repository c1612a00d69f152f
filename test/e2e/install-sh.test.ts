/** dist/install.sh as a person runs it on a gateway, under the shells that gateways have. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { generateKey } from '../../src/artifact/manifest/signature.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';
import { makeTarball } from '../helpers/tarball.ts';

const SCRIPT = join(import.meta.dirname, '../../src/packaging/install.sh');
const scratch = mkdtempSync(join(tmpdir(), 'gwe-install-sh-'));
after(() => rmSync(scratch, { recursive: true }));

/** A folder with install.sh, the executable and apps, and an empty gateway. */
function copied(apps: Readonly<Record<string, Buffer>> = {}) {
  const here = mkdtempSync(join(scratch, 'copied-'));
  copyFileSync(SCRIPT, join(here, 'install.sh'));
  symlinkSync(EXECUTABLE, join(here, 'gwe'));
  for (const [name, bytes] of Object.entries(apps)) {
    mkdirSync(join(here, 'apps_to_install'), { recursive: true });
    writeFileSync(join(here, 'apps_to_install', name), bytes);
  }
  const root = join(here, 'root');
  return { here, root };
}

function run(
  shell: readonly string[],
  here: string,
  root: string,
  args: readonly string[] = [],
  path = '/usr/bin:/bin',
) {
  const [program = '', ...first] = shell;
  const env = { PATH: path, HOME: root, GWE_ROOT: root };
  return spawnSync(`/usr/bin/${program}`, [...first, join(here, 'install.sh'), ...args], {
    env,
    encoding: 'utf8',
  });
}

for (const shell of [['dash'], ['busybox', 'sh']]) {
  const by = shell.join(' ');

  test(`${by}: installs gwe as a service and keeps the configuration`, () => {
    const { here, root } = copied();
    mkdirSync(join(root, 'etc/gwe'), { recursive: true });
    writeFileSync(join(root, 'etc/gwe/Gateway.cfg'), '[device]\nuuid = kept\n');
    const { status, stdout, stderr } = run(shell, here, root);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^no apps_to_install beside install\.sh/m);
    assert.match(readFileSync(join(root, 'usr/local/bin/gwe'), 'utf8'), /^#!\/bin\/sh\n# launcher of gwe/);
    assert.equal(readFileSync(join(root, 'etc/gwe/Gateway.cfg'), 'utf8'), '[device]\nuuid = kept\n');
  });

  test(`${by}: what others may change is not run by root`, () => {
    const app = makeTarball({ 'install.sh': { content: '#!/bin/sh\ntrue\n', mode: 0o755 } });
    const changes: readonly [what: string, change: (here: string) => void][] = [
      ['a directory', (here) => chmodSync(here, 0o777)],
      ['install.sh', (here) => chmodSync(join(here, 'install.sh'), 0o757)],
      ['apps', (here) => chmodSync(join(here, 'apps_to_install'), 0o777)],
      ['an app', (here) => chmodSync(join(here, 'apps_to_install/a.v1.tar.gz'), 0o666)],
    ];
    const foreign: typeof changes = [
      ['foreign apps', (here) => chownSync(join(here, 'apps_to_install'), 65_534, 65_534)],
      ['a foreign app', (here) => chownSync(join(here, 'apps_to_install/a.v1.tar.gz'), 65_534, 65_534)],
      ['a foreign install.sh', (here) => chownSync(join(here, 'install.sh'), 65_534, 65_534)],
    ];
    for (const [what, change] of [...changes, ...(process.getuid?.() === 0 ? foreign : [])]) {
      const { here, root } = copied({ 'a.v1.tar.gz': app });
      change(here);
      const { status, stderr } = run(shell, here, root);
      assert.notEqual(status, 0, what);
      assert.match(stderr, /may be changed by others|belongs to uid 65534, expected root/, what);
      assert.equal(existsSync(join(root, 'opt/gwe/apps/a')), false, what);
    }
  });

  test(`${by}: in everybody's directory, as /tmp is, what is root's own is installed`, () => {
    const { here, root } = copied();
    chmodSync(here, 0o1777);
    const { status, stderr } = run(shell, here, root);
    assert.equal(status, 0, stderr);
  });

  test(`${by}: apps beside it are installed in the order of their names`, () => {
    const app = (name: string): Buffer =>
      makeTarball({
        'install.sh': {
          content: `#!/bin/sh\necho ${name} >>${join(scratch, by.replace(' ', '-'))}\n`,
          mode: 0o755,
        },
      });
    const { here, root } = copied({ 'b.v1.tar.gz': app('b'), 'a.v1.tar.gz': app('a') });
    const { status, stderr } = run(shell, here, root);
    assert.equal(status, 0, stderr);
    assert.equal(readFileSync(join(scratch, by.replace(' ', '-')), 'utf8'), 'a\nb\n');
  });

  test(`${by}: apps beside it are held to the keys of the gateway`, () => {
    const trace = join(scratch, `ran-${by.replace(' ', '-')}`);
    const script = { content: `#!/bin/sh\ntouch ${trace}\n`, mode: 0o755 };
    const { here, root } = copied({ 'a.v1.tar.gz': makeTarball({ 'install.sh': script }) });
    const { publicKey } = generateKey();
    mkdirSync(join(root, 'etc/gwe/keys.d'), { recursive: true });
    writeFileSync(join(root, 'etc/gwe/keys.d/alice.pub'), publicKey);
    const { status, stderr, stdout } = run(shell, here, root);
    assert.equal(status, 1, stdout + stderr);
    assert.match(stdout + stderr, /cannot trust 'a\.v1\.tar\.gz': it is not signed/);
    assert.ok(!existsSync(trace), 'nothing of it has run');
  });

  test(`${by}: an old glibc and a file that is no gwe are refused with the reason`, () => {
    const { here, root } = copied();
    const tool = (name: string, says: string): string => {
      const directory = mkdtempSync(join(scratch, 'tools-'));
      writeFileSync(join(directory, name), `#!/bin/sh\necho '${says}'\n`, { mode: 0o755 });
      return `${directory}:/usr/bin:/bin`;
    };
    const old = run(shell, here, root, [], tool('getconf', 'glibc 2.24'));
    assert.equal(old.status, 1);
    assert.match(old.stderr, /glibc is 2\.24, expected 2\.28 or later/);
    rmSync(join(here, 'gwe'));
    writeFileSync(join(here, 'gwe'), '#!/bin/sh\necho hello\n');
    const wrong = run(shell, here, root);
    assert.equal(wrong.status, 1);
    assert.match(wrong.stderr, /is not gwe: it answered 'hello'/);
    assert.ok(!existsSync(root));
  });
}
