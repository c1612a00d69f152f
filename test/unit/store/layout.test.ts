/** Where a gateway keeps what: every path below its root, and the names that are part of one told apart. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  appDataDirectory,
  createLayout,
  currentLink,
  leaseFile,
  programFile,
  startCountFile,
  updateLogFile,
  versionDirectory,
  versionDirectoryName,
  versionOfDirectory,
} from '../../../src/store/layout.ts';

const ROOT = '/some/root';
const layout = createLayout(ROOT);
const DIGEST = '0123456789abcdef'.repeat(4);

test('every path is below the root, and no two are the same', () => {
  const { root, programPrefix, programSuffix, ...paths } = layout;
  assert.equal(`${programPrefix}NAME${programSuffix}`, 'NAME.conf');
  assert.equal(root, ROOT);
  for (const [name, path] of Object.entries(paths))
    assert.ok(path.startsWith(`${ROOT}/`), `${name}: ${path}`);
  assert.equal(new Set(Object.values(paths)).size, Object.keys(paths).length);
});

test('what changes at every check-in is on the tmpfs, what has to outlive a power cut is not', () => {
  for (const name of ['runStatus', 'sentReports', 'restarts', 'tlsTicket', 'trafficNow', 'handover'] as const)
    assert.ok(layout[name].startsWith(`${ROOT}/run/gwe/`), name);
  for (const name of [
    'journal',
    'command',
    'installed',
    'history',
    'releases',
    'watches',
    'traffic',
  ] as const)
    assert.ok(layout[name].startsWith(`${ROOT}/var/lib/gwe/`), name);
});

test('the same version with other bytes has a directory of its own, and its name gives the version back', () => {
  const id = { version: '1.0-rc+1', digest: DIGEST };
  assert.equal(versionDirectoryName(id), '1.0-rc+1-01234567');
  assert.equal(versionOfDirectory(versionDirectoryName(id)), id.version);
  assert.equal(versionDirectory(layout, 'sine', id), `${ROOT}/opt/gwe/apps/sine/1.0-rc+1-01234567`);
  assert.notEqual(versionDirectoryName(id), versionDirectoryName({ ...id, digest: 'f'.repeat(64) }));
});

test('the paths of one app carry its name', () => {
  assert.equal(currentLink(layout, 'sine'), `${ROOT}/opt/gwe/apps/sine/current`);
  assert.equal(programFile(layout, 'sine'), `${ROOT}/etc/supervisor/conf.d/sine.conf`);
  assert.equal(appDataDirectory(layout, 'sine'), `${ROOT}/var/opt/gwe/sine`);
  assert.equal(leaseFile(layout, 'sine'), `${ROOT}/run/gwe/leases/sine.json`);
  assert.equal(updateLogFile(layout, 'tx1'), `${ROOT}/var/lib/gwe/logs/tx1.log`);
});

test('starts of a version that was never confirmed are counted where a reboot does not forget them', () => {
  assert.equal(startCountFile(layout, false), `${ROOT}/var/lib/gwe/starts`);
  assert.equal(startCountFile(layout, true), `${ROOT}/run/gwe/starts`);
});
