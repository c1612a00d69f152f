/** `follow_content_redirects` and what is refused before a byte of it, by whole check-ins of the agent. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { EngineSettings } from '../../../../src/config/schema.ts';
import { type CheckInRig, createCheckInRig } from '../../../helpers/check-in-rig.ts';
import { type FaultProxy, startFaultProxy } from '../../../helpers/fault-proxy.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand } from '../../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const TARBALL = makeTarball({ 'install.sh': INSTALL_OK });
const SHA256 = createHash('sha256').update(TARBALL).digest('hex');
/** As long; the byte of its gzip header that names the system says nothing of its content. */
const FORGED = Buffer.from(TARBALL);
FORGED.writeUInt8(FORGED.readUInt8(9) ^ 1, 9);
const ITEM = 'app.v1.tar.gz';
const pinned = JSON.stringify({ install: [{ name: ITEM, sha256: SHA256 }] });

let platform: TestPlatform;
/** The way to every host that is not this machine. */
let cdn: FaultProxy;
let kept: Buffer;
let serials = 0;

before(async () => {
  platform = await startPlatform();
  cdn = await startFaultProxy(platform.url);
  cdn.setFault((_request, response) => {
    response.end(kept);
    return true;
  });
});
after(async () => {
  await cdn.close();
  await platform.close();
});

interface Asked {
  /** Of the item; that of its digest by default. */
  meta?: string;
  command?: string;
  settings?: Partial<EngineSettings>;
  /** What the other host has. */
  bytes?: Buffer;
  prepare?(rig: CheckInRig): void;
}

/** One command on a gateway of its own; the platform sends whoever fetches content to http://cdn.test. */
async function install(asked: Asked) {
  const { meta, command = installCommand(ITEM), settings = {}, bytes = TARBALL, prepare } = asked;
  kept = bytes;
  cdn.requests.length = 0;
  await platform.putContent('p1', ITEM, TARBALL, meta);
  const rig = await createCheckInRig(
    platform,
    `gw-${++serials}`,
    { followContentRedirects: true, insecureHttp: true, ...settings },
    { HTTP_PROXY: cdn.url },
  );
  try {
    prepare?.(rig);
    rig.setFault(({ path }, response) => {
      if (!path.includes('/download') || path.includes('info=')) return false;
      response.writeHead(302, { location: 'http://cdn.test/bucket/item?sign=1' }).end();
      return true;
    });
    await platform.write('p1', rig.serial, 'engine_fetch', command);
    await rig.checkIn();
    await rig.checkIn();
    const [report] = await rig.told();
    assert.ok(report !== undefined, rig.log());
    const fetches = rig.proxy.requests.filter(({ path }) => path.includes('/download'));
    return { report, elsewhere: [...cdn.requests], fetches };
  } finally {
    await rig.close();
  }
}

const KNOWN: Readonly<Record<string, Asked>> = {
  'whose digest the content area tells': {},
  'whose digest stands in the command alone': { meta: 'no digest', command: pinned },
};

for (const [what, asked] of Object.entries(KNOWN)) {
  test(`content ${what} is fetched elsewhere, without the key`, async () => {
    const { report, elsewhere } = await install(asked);
    assert.equal(report.outcome, 'installed', JSON.stringify(report));
    assert.ok(elsewhere.length > 0);
    for (const { path, headers } of elsewhere) {
      assert.equal(path, 'http://cdn.test/bucket/item?sign=1');
      assert.doesNotMatch(JSON.stringify(headers), /cik|authorization/i);
    }
  });

  test(`content ${what} and that is another one elsewhere is refused`, async () => {
    const { report } = await install({ ...asked, bytes: FORGED });
    assert.deepEqual([report.outcome, report.code], ['rejected', 'DOWNLOAD_DIGEST'], JSON.stringify(report));
  });
}

const NOT_FOLLOWED: Readonly<Record<string, Asked>> = {
  'of which nothing is known beforehand': { meta: 'no digest' },
  'without follow_content_redirects': { settings: { followContentRedirects: false } },
};

for (const [what, asked] of Object.entries(NOT_FOLLOWED)) {
  test(`content ${what} is not fetched elsewhere`, async () => {
    const { report, elsewhere } = await install(asked);
    assert.deepEqual([report.code, elsewhere.length], ['PROTOCOL_REFUSED', 0], JSON.stringify(report));
  });
}

test('an app in a group of the operator is refused before anything of it is asked for', async () => {
  const { report, fetches } = await install({
    prepare: ({ root }) =>
      writeFileSync(
        join(root, 'etc/supervisor/conf.d/site.conf'),
        '[program:app]\ncommand = sleep 9\n[group:site]\nprograms = app\n',
      ),
  });
  assert.equal(report.code, 'SUPERVISOR_FOREIGN_PROGRAM', JSON.stringify(report));
  assert.match(String(report.reason), /\[group:site\] of '.*site\.conf'/);
  assert.deepEqual(fetches, []);
});
