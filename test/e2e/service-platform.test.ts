/** `gwe service install --platform`: what it puts in place on a root, and takes away again. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EXECUTABLE } from '../helpers/gateway.ts';

const scratch = mkdtempSync(join(tmpdir(), 'gwe-svc-platform-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const units = (root: string): string => join(root, 'etc/systemd/system');

function service(root: string, ...args: string[]) {
  mkdirSync(root, { recursive: true });
  const env = { PATH: process.env.PATH ?? '', HOME: root, GWE_ROOT: root };
  return spawnSync(EXECUTABLE, ['service', ...args], { cwd: root, env, encoding: 'utf8', timeout: 60_000 });
}

test('a platform becomes a unit of systemd, is kept when it is installed again, and goes without its data', () => {
  const root = join(scratch, 'root');
  const words = [
    'install',
    '--platform',
    '--',
    '--listen',
    '0.0.0.0:443',
    '--tls-cert',
    'c.pem',
    '--tls-key',
    'k.pem',
  ];
  const dry = service(root, 'install', '--platform', '--dry-run', ...words.slice(2));
  assert.equal(dry.status, 0, dry.stderr);
  assert.ok(!existsSync(units(root)));
  const first = service(root, ...words);
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /^to do: systemctl restart gwe-platform\.service/m);
  const unit = readFileSync(join(units(root), 'gwe-platform.service'), 'utf8');
  assert.match(
    unit,
    /^ExecStart=\/opt\/gwe\/platform\/gwe platform serve --data \/var\/lib\/gwe-platform --listen 0\.0\.0\.0:443 /m,
  );
  assert.ok(unit.includes(`LoadCredential=tls-key:${root}/k.pem\n`), unit);
  assert.equal(
    readlinkSync(join(units(root), 'multi-user.target.wants/gwe-platform.service')),
    '../gwe-platform.service',
  );
  assert.equal(statSync(join(root, 'opt/gwe/platform/gwe')).mode & 0o777, 0o755);
  const again = service(root, ...words);
  assert.match(again.stdout, /^keep .*gwe-platform\.service$/m);
  assert.doesNotMatch(again.stdout, /^(write|copy|link) /m);
  const gone = service(root, 'uninstall', '--platform', '--yes');
  assert.equal(gone.status, 0, gone.stderr);
  for (const path of [join(units(root), 'gwe-platform.service'), join(root, 'opt/gwe/platform/gwe')])
    assert.ok(!existsSync(path), path);
});

test('a mistake is reported before anything is changed', () => {
  const root = join(scratch, 'mistakes');
  for (const [words, found] of [
    [['--platform', '--', '--lissen', 'x'], /unknown option --lissen, did you mean --listen/],
    [['--platform', '--', 'serve'], /cannot use 'serve': expected options of gwe platform serve/],
    [['--platform', '--', '--data', '/srv'], /cannot use --data: .*\/var\/lib\/gwe-platform/],
    [['extra'], /cannot use 'extra': expected nothing more without --platform/],
  ] as const) {
    const { status, stderr } = service(root, 'install', ...words);
    assert.equal(status, 2, stderr);
    assert.match(stderr, found);
  }
  mkdirSync(units(root), { recursive: true });
  writeFileSync(join(units(root), 'gwe-platform.service'), '[Unit]\n');
  const foreign = service(root, 'install', '--platform', '--');
  assert.equal(foreign.status, 1);
  assert.match(foreign.stderr, /gwe did not write it; nothing was changed/);
  assert.ok(!existsSync(join(root, 'opt')));
});
