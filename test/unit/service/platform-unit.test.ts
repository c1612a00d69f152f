import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isPlatformUnit, renderPlatformUnit } from '../../../src/service/platform-unit.ts';

const UNIT = {
  executable: process.execPath,
  options: [['listen', '0.0.0.0:443'], ['insecure-http'], ['trusted-proxy', 'a b$c"%d']] as const,
  files: new Map([['tls-key', '/etc/gwe/100%/key.pem']]),
  drainSeconds: 30,
  needsLowPort: true,
};

test('a unit has what it was given, quoted for systemd, and files of root as credentials', () => {
  const lines = renderPlatformUnit(UNIT).split('\n');
  const start = `ExecStart=${process.execPath} platform serve --data /var/lib/gwe-platform --listen 0.0.0.0:443 --insecure-http`;
  assert.ok(lines.includes(`${start} --trusted-proxy "a b$$c\\"%%d" --tls-key %d/tls-key`), lines.join('\n'));
  for (const line of [
    'LoadCredential=tls-key:/etc/gwe/100%%/key.pem',
    'AmbientCapabilities=CAP_NET_BIND_SERVICE',
    'TimeoutStopSec=45',
    'DynamicUser=yes',
  ])
    assert.ok(lines.includes(line), line);
  assert.ok(isPlatformUnit(lines.join('\n')));
  const other = renderPlatformUnit({ ...UNIT, needsLowPort: false });
  assert.match(other, /^CapabilityBoundingSet=$/m);
  assert.match(other, /^PrivateUsers=yes$/m);
});

test('a service with a token from elsewhere keeps its seal key in its own directory, unless that is given too', () => {
  const withFiles = (...names: string[]): string =>
    renderPlatformUnit({ ...UNIT, files: new Map(names.map((name) => [name, `/etc/gwe/${name}`])) });
  const own =
    /^ExecStart=.* --seal-key-file \/var\/lib\/gwe-platform\/seal-key .*--token-file %d\/token-file$/m;
  assert.match(withFiles('token-file'), own);
  const given = withFiles('token-file', 'seal-key-file');
  assert.match(given, /^LoadCredential=seal-key-file:\/etc\/gwe\/seal-key-file$/m);
  assert.match(given, /--seal-key-file %d\/seal-key-file$/m);
  assert.doesNotMatch(given, /gwe-platform\/seal-key/);
});

/** The checks of systemd itself where it is installed; elsewhere each line is at least a setting or a heading. */
test('systemd understands the unit, and finds little that it could do to the machine', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-unit-'));
  const path = join(directory, 'gwe-platform.service');
  const text = renderPlatformUnit(UNIT);
  writeFileSync(path, text);
  const ask = (...args: string[]) => spawnSync('systemd-analyze', [...args, path], { encoding: 'utf8' });
  try {
    for (const line of text.split('\n')) assert.match(line, /^(#.*|\[\w+\]|[A-Z]\w+=.*|)$/);
    const verify = ask('verify', '--man=no');
    if (verify.error !== undefined) return;
    assert.equal(verify.status, 0, verify.stderr);
    assert.doesNotMatch(verify.stderr, /gwe-platform/);
    // Exposure in tenths: 0 is none, 96 a unit without a word of hardening.
    const security = ask('security', '--offline=true', '--no-pager', '--threshold=25');
    assert.equal(security.status, 0, security.stdout.split('\n').slice(-3).join('\n'));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
