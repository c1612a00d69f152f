/** usr/local/bin/gwe after installation, under the shells that gateways have, with the real executable. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { digestFile } from '../../src/base/fs.ts';
import { LAUNCHER } from '../../src/service/launcher.ts';
import { confirmStart, readStarts } from '../../src/service/starts.ts';
import { createLayout } from '../../src/store/layout.ts';
import { EXECUTABLE } from '../helpers/gateway.ts';

const SHELLS: readonly (readonly string[])[] = [['dash'], ['busybox', 'sh']];
/** What an agent without a serial number ends with: proof that gwe itself has run. */
const NO_IDENTITY = 255;

const scratch = mkdtempSync(join(tmpdir(), 'gwe-launcher-'));
after(() => rmSync(scratch, { recursive: true }));

/** A gateway whose every tool is busybox's. */
const applets = join(scratch, 'applets');
mkdirSync(applets);
for (const name of ['head', 'mkdir', 'mv', 'readlink', 'rm', 'sh', 'sha256sum', 'sync', 'timeout', 'true']) {
  symlinkSync('/usr/bin/busybox', join(applets, name));
}

/** A gateway with the versions `good` and `bad`; `bad`'s executable is made by `spoil`. */
function makeGateway(name: string, spoil: (path: string) => void) {
  const root = join(scratch, name);
  const layout = createLayout(root);
  const apps = join(layout.appsDirectory, 'gwe');
  for (const directory of ['good', 'bad']) mkdirSync(join(apps, directory), { recursive: true });
  mkdirSync(join(root, 'usr/local/bin'), { recursive: true });
  writeFileSync(layout.launcher, LAUNCHER, { mode: 0o755 });
  symlinkSync(EXECUTABLE, join(apps, 'good/gwe'));
  spoil(join(apps, 'bad/gwe'));
  const point = (link: string, target: string): void => {
    if (existsSync(join(apps, link))) unlinkSync(join(apps, link));
    symlinkSync(target, join(apps, link));
  };
  point('current', 'good');
  return {
    layout,
    point,
    /** Runs the launcher as a service would; the status and what was said. */
    start(shell: readonly string[], args: readonly string[] = [], env: Record<string, string> = {}) {
      const [program = '', ...first] = shell;
      const path = program === 'busybox' ? applets : '/usr/bin:/bin';
      const { status, stdout, stderr } = spawnSync(
        `/usr/bin/${program}`,
        [...first, layout.launcher, ...args],
        {
          env: { PATH: path, GWE_ROOT: root, ...env },
          encoding: 'utf8',
          timeout: 90_000,
        },
      );
      return { status, stdout, stderr };
    },
  };
}

function firstBytes(path: string, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  readSync(openSync(path, 'r'), bytes);
  return bytes;
}

const SPOILT: Readonly<Record<string, (path: string) => void>> = {
  'cut short': (path) => writeFileSync(path, firstBytes(EXECUTABLE, 1_000_000), { mode: 0o755 }),
  empty: (path) => writeFileSync(path, '', { mode: 0o755 }),
  'a text that is no script': (path) => writeFileSync(path, 'not an executable\n', { mode: 0o755 }),
  'of another kind of machine': (path) => {
    const bytes = firstBytes(EXECUTABLE, 1_000_000);
    bytes.writeUInt16LE(0xf3, 18); // RISC-V
    writeFileSync(path, bytes, { mode: 0o755 });
  },
  'not executable': (path) => writeFileSync(path, firstBytes(EXECUTABLE, 1000), { mode: 0o644 }),
  'not there': () => undefined,
};

test('the launcher has at most 40 lines', () => {
  assert.ok(LAUNCHER.trimEnd().split('\n').length <= 40);
});

for (const shell of SHELLS) {
  const by = shell.join(' ');
  for (const [kind, spoil] of Object.entries(SPOILT)) {
    test(`${by}: an executable that is ${kind} gives way to the previous one after three starts`, () => {
      const gateway = makeGateway(`${by}-${kind}`.replaceAll(' ', '-'), spoil);
      gateway.point('current', 'bad');
      gateway.point('previous', 'good');
      for (const number of [1, 2, 3]) {
        const { status, stderr } = gateway.start(shell);
        assert.equal(status, 1, stderr);
        assert.match(stderr, new RegExp(`bad/gwe' fails its self-test \\(start ${number} of 3\\)\n$`));
      }
      const fourth = gateway.start(shell);
      assert.equal(fourth.status, NO_IDENTITY, fourth.stderr);
      assert.match(fourth.stderr, /no serial number|is not set/);
      assert.equal(readStarts(gateway.layout).unconfirmed, 3);
    });
  }

  test(`${by}: a version that never checks in is left after three starts, also over reboots`, () => {
    const gateway = makeGateway(`${by}-silent`.replaceAll(' ', '-'), (path) => symlinkSync(EXECUTABLE, path));
    gateway.point('current', 'bad');
    gateway.point('previous', 'good');
    for (const number of [1, 2, 3]) {
      rmSync(gateway.layout.runDirectory, { recursive: true, force: true });
      assert.equal(gateway.start(shell).status, NO_IDENTITY);
      assert.deepEqual(readStarts(gateway.layout), { confirmed: undefined, unconfirmed: number });
    }
    // The launcher's own words are the only way to see which of two equal executables runs.
    rmSync(join(gateway.layout.appsDirectory, 'gwe/good/gwe'));
    assert.match(gateway.start(shell).stderr, /good\/gwe' fails/);
    assert.equal(confirmStart(gateway.layout, 'good'), 'fallback');
  });

  test(`${by}: a version that has checked in is not doubted, and its starts write nothing to the flash`, () => {
    const gateway = makeGateway(`${by}-known`.replaceAll(' ', '-'), (path) => symlinkSync(EXECUTABLE, path));
    gateway.point('previous', 'bad');
    assert.equal(confirmStart(gateway.layout, 'good'), 'confirmed');
    assert.equal(confirmStart(gateway.layout, 'good'), 'known');
    for (let times = 0; times < 5; times++) gateway.start(shell);
    assert.deepEqual(readStarts(gateway.layout), { confirmed: 'good', unconfirmed: 0 });
    assert.ok(!existsSync(join(gateway.layout.stateDirectory, 'starts')));
    assert.equal(gateway.start(shell, [], { GWE_WOKEN: '1' }).status, NO_IDENTITY);
  });

  test(`${by}: a previous version that was changed is reported, and started all the same where it works`, () => {
    const gateway = makeGateway(`${by}-changed`.replaceAll(' ', '-'), (path) => writeFileSync(path, ''));
    gateway.point('current', 'bad');
    gateway.point('previous', 'good');
    for (const _ of [1, 2, 3]) gateway.start(shell);
    const kept = join(gateway.layout.stateDirectory, 'previous.sha256');
    writeFileSync(kept, `${'0'.repeat(64)} good\n`);
    const changed = gateway.start(shell);
    assert.equal(changed.status, NO_IDENTITY, changed.stderr);
    assert.match(
      changed.stderr,
      /good\/gwe' has changed: sha256 [0-9a-f]{64}, expected 0{64}; starting it if it passes its self-test\n/,
    );
    writeFileSync(kept, `${digestFile(realpathSync(EXECUTABLE))} good\n`);
    assert.doesNotMatch(gateway.start(shell).stderr, /was changed/);
    for (const said of ['', 'x', `${'0'.repeat(64)} another\n`]) {
      writeFileSync(kept, said);
      const { status, stderr } = gateway.start(shell);
      assert.equal(status, NO_IDENTITY, stderr);
      assert.doesNotMatch(stderr, /was changed/);
    }
  });

  test(`${by}: a command line is passed on as it is, and is no start`, () => {
    const gateway = makeGateway(`${by}-args`.replaceAll(' ', '-'), () => undefined);
    const shown = gateway.start(shell, ['--set-uuid', 'a b "c" $d', '-P', 'p1']);
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(shown.stdout, /^uuid = a b "c" \$d$/m);
    assert.equal(readStarts(gateway.layout).unconfirmed, 0);
  });

  test(`${by}: garbage in the launcher's files stops nothing`, () => {
    const gateway = makeGateway(`${by}-garbage`.replaceAll(' ', '-'), () => undefined);
    mkdirSync(gateway.layout.stateDirectory, { recursive: true });
    for (const garbage of ['', '\0\0\0\0', 'good', 'good x', 'good 08', 'good $(exit)', '* *', 'good -1\n']) {
      writeFileSync(join(gateway.layout.stateDirectory, 'starts'), garbage);
      writeFileSync(join(gateway.layout.stateDirectory, 'confirmed'), `${garbage.slice(4)}\n`);
      const { status, stderr } = gateway.start(shell);
      assert.equal(status, NO_IDENTITY, `${JSON.stringify(garbage)}: ${stderr}`);
      assert.equal(readFileSync(join(gateway.layout.stateDirectory, 'starts'), 'utf8'), 'good 1\n');
    }
  });
}
