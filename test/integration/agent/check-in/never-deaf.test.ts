/** Commands are heard whatever becomes of reports, and whatever the disk takes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CheckInRig, createCheckInRig } from '../../../helpers/check-in-rig.ts';
import { type DiskFaults, installDiskFaults } from '../../../helpers/disk-faults.ts';
import type { Fault, Relayed } from '../../../helpers/fault-proxy.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand } from '../../../helpers/reports.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const HOUR_MS = 3600_000;
const LOGIN_PAGE = '<html><body>Welcome. Room number?</body></html>';

type Refusal = (response: ServerResponse) => void;
const status =
  (code: number): Refusal =>
  (response) =>
    void response.writeHead(code).end('no');

/** What becomes of a request that something on the way does not like. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  ...Object.fromEntries(
    [400, 401, 403, 404, 411, 413, 414, 431, 500, 502, 504].map((code) => [code, status(code)]),
  ),
  'a login page': (response) => void response.end(LOGIN_PAGE),
  'a redirect': (response) => void response.writeHead(302, { location: 'http://portal.test/' }).end(),
  'a closed connection': (response) => void response.destroy(),
  'half a reply': (response) => {
    response.writeHead(200, { 'content-length': 500 }).write('engine_fetch=');
    response.socket?.end();
  },
  nothing: () => undefined,
};

/** By which requests it does not like. */
const LARGE = ({ method, path, headers, body }: Relayed): boolean => {
  const line = method.length + path.length + JSON.stringify(headers).length;
  return path.startsWith('/onep:v1/') && line + body.length > 1200;
};
const REPORTS = ({ method, body }: Relayed): boolean =>
  method === 'POST' && /_(report|info|status)=/.test(body);
const POSTS = ({ method, path }: Relayed): boolean => method === 'POST' && path.startsWith('/onep:v1/');

const refusing =
  (isBad: (request: Relayed) => boolean, refuse: Refusal): Fault =>
  (request, response) => {
    if (isBad(request)) refuse(response);
    return isBad(request);
  };

describe('a command', () => {
  let platform: TestPlatform;
  let disk: DiskFaults;
  const rigs: CheckInRig[] = [];
  let serials = 0;

  async function open(settings = {}): Promise<CheckInRig> {
    const rig = await createCheckInRig(platform, `gw-${++serials}`, settings);
    rigs.push(rig);
    return rig;
  }

  const command = (rig: CheckInRig, text: string): Promise<void> =>
    platform.write('p1', rig.serial, 'engine_fetch', text);
  const active = (rig: CheckInRig): string | undefined => rig.context.installed.get('app').active?.version;

  before(async () => {
    platform = await startPlatform();
    disk = installDiskFaults();
    for (const version of ['1', '2'])
      await platform.putContent(
        'p1',
        `app.v${version}.tar.gz`,
        makeTarball({ 'install.sh': INSTALL_OK, version }),
      );
  });
  after(async () => {
    disk.restore();
    await Promise.all(rigs.map((rig) => rig.close()));
    await platform.close();
  });

  for (const [name, refuse] of Object.entries(REFUSALS))
    test(`is carried out at the next check-in where every report gets ${name}`, async () => {
      const rig = await open();
      rig.setFault(refusing(REPORTS, refuse));
      await command(rig, installCommand('app.v1.tar.gz'));
      assert.equal(await rig.checkIn(), undefined, rig.log());
      assert.equal(active(rig), '1', rig.log());
      assert.equal(await platform.read('p1', rig.serial, 'engine_fetch'), '');
      rig.setFault(undefined);
      rig.runCycle(25 * HOUR_MS);
      await rig.checkIn();
      await rig.checkIn();
      const told = (await rig.told()).filter(({ outcome }) => outcome === 'installed');
      assert.equal(told.length, 1, rig.log());
    });

  test('is carried out where every packet of more than 1200 bytes is swallowed', async () => {
    const rig = await open();
    rig.setFault(refusing(LARGE, () => undefined));
    await command(rig, installCommand('app.v1.tar.gz'));
    assert.equal(await rig.checkIn(), undefined, rig.log());
    assert.equal(active(rig), '1', rig.log());
  });

  test('is carried out once where every POST is closed, also the one that clears it', async () => {
    const rig = await open();
    rig.setFault(refusing(POSTS, (response) => void response.destroy()));
    const text = installCommand('app.v1.tar.gz');
    await command(rig, text);
    for (let round = 0; round < 3; round++) assert.equal(await rig.checkIn(), undefined, rig.log());
    assert.equal(active(rig), '1', rig.log());
    assert.equal(await platform.read('p1', rig.serial, 'engine_fetch'), text);
    assert.equal(rig.log().split('command.read').length, 2, 'it was taken over once');
    rig.setFault(undefined);
    await rig.checkIn();
    assert.equal(
      await platform.read('p1', rig.serial, 'engine_fetch'),
      '',
      'cleared when that could be done',
    );
    await command(rig, text);
    await rig.checkIn();
    assert.equal(rig.log().split('command.read').length, 3, 'the same text is a new command then');
  });

  test('is heard for a day of check-ins in which every report is refused', async () => {
    const rig = await open();
    rig.setFault(refusing(REPORTS, status(403)));
    for (let hour = 0; hour < 24; hour += 4) {
      await command(rig, installCommand(`app.v${hour % 8 === 0 ? 1 : 2}.tar.gz`));
      assert.equal(await rig.checkIn(), undefined, rig.log());
      assert.equal(active(rig), hour % 8 === 0 ? '1' : '2', `hour ${hour}`);
      rig.runCycle(4 * HOUR_MS);
    }
    const idle = rig.proxy.requests.length;
    assert.equal(await rig.checkIn(), undefined);
    assert.ok(rig.proxy.requests.length - idle <= 3, 'what is set aside costs nothing');
  });

  test('waits on a read-only disk, which is reported once, and is carried out when it can be written', async () => {
    const rig = await open();
    await rig.checkIn();
    for (const code of ['EROFS', 'EIO', 'ENOSPC'] as const) {
      const before = (await rig.told()).length;
      const version = active(rig) === '1' ? '2' : '1';
      disk.set(join(rig.root, 'var'), { code, hits: 0 });
      await command(rig, installCommand(`app.v${version}.tar.gz`));
      for (let round = 0; round < 3; round++) assert.match((await rig.checkIn()) ?? '', /var\/lib/);
      const told = (await rig.told()).slice(before);
      assert.equal(told.length, 1, JSON.stringify(told));
      assert.match(String(told[0]?.reason), /the command waits until/);
      disk.set(join(rig.root, 'var'), undefined);
      assert.equal(await rig.checkIn(), undefined);
      assert.equal(active(rig), version);
    }
  });

  test('waits for the next try where a write fails once, which is not reported', async () => {
    const rig = await open();
    await rig.checkIn();
    const before = (await rig.told()).length;
    disk.set(join(rig.root, 'var'), { code: 'EIO', hits: 0 });
    await command(rig, installCommand('app.v1.tar.gz'));
    assert.match((await rig.checkIn()) ?? '', /var\/lib/);
    disk.set(join(rig.root, 'var'), undefined);
    assert.equal(await rig.checkIn(), undefined);
    assert.equal(active(rig), '1');
    assert.deepEqual(
      (await rig.told()).slice(before).map(({ outcome }) => outcome),
      ['installed'],
    );
  });

  for (const path of ['etc', 'etc/gwe', 'run', 'var', ''])
    test(`is heard by a start on a gateway where '/${path}' is read-only`, async () => {
      const rig = await open();
      disk.set(join(rig.root, path).replace(/\/$/, ''), { code: 'EROFS', hits: 0 });
      await rig.restart();
      await command(rig, installCommand('app.v1.tar.gz'));
      await rig.checkIn();
      await rig.checkIn();
      assert.equal((await rig.told()).length, 1, rig.log());
      disk.set(join(rig.root, path).replace(/\/$/, ''), undefined);
      await rig.checkIn();
      await rig.checkIn();
      assert.equal(active(rig), '1', rig.log());
    });

  test('is not kept waiting by an interval that cannot be stored, which is in force and reported once', async () => {
    const rig = await open();
    await rig.checkIn();
    disk.set(join(rig.root, 'etc'), { code: 'EROFS', hits: 0 });
    await platform.write('p1', rig.serial, 'update_interval', '77');
    await command(rig, '{"install":[]}');
    await rig.checkIn();
    await rig.checkIn();
    assert.equal(rig.context.settings().updateIntervalS, 77);
    assert.equal(await platform.read('p1', rig.serial, 'update_interval'), '77');
    assert.equal(await platform.read('p1', rig.serial, 'engine_fetch'), '');
    const told = (await rig.told()).filter(({ reason }) => /update_interval/.test(String(reason)));
    assert.equal(told.length, 1, JSON.stringify(told));
    disk.set(join(rig.root, 'etc'), undefined);
    await rig.checkIn();
    assert.equal(await platform.read('p1', rig.serial, 'update_interval'), '');
    assert.match(readFileSync(rig.context.layout.engineConfig, 'utf8'), /update_interval = 77/);
  });

  test('waits for no report that is refused: three times, then it is set aside, named, and tried once a day', async () => {
    const rig = await open();
    rig.setFault(({ body }, response) => {
      if (!body.includes('device_info=')) return false;
      response.writeHead(403).end();
      return true;
    });
    const tries = (): number =>
      rig.proxy.requests.filter(({ body }) => body.startsWith('device_info=')).length;
    for (let round = 0; round < 5; round++) await rig.checkIn();
    assert.equal(tries(), 3, rig.log());
    assert.match(rig.log(), /report\.set-aside report=device_info bytes=\d+ times=3/);
    assert.match(
      (await platform.read('p1', rig.serial, 'usage_report')) ?? '',
      /"set_aside":\[\{"report":"device_info"/,
    );
    rig.runCycle(25 * HOUR_MS);
    await rig.checkIn();
    await rig.checkIn();
    assert.equal(tries(), 4);
    rig.setFault(undefined);
    rig.runCycle(25 * HOUR_MS);
    for (let round = 0; round < 3; round++) await rig.checkIn();
    assert.notEqual(await platform.read('p1', rig.serial, 'device_info'), undefined);
    assert.doesNotMatch((await platform.read('p1', rig.serial, 'usage_report')) ?? '', /set_aside/);
  });

  test('and an outage set no report aside', async () => {
    const rig = await open();
    rig.setFault(({ path }, response) => {
      if (path.startsWith('/onep:v1/')) response.writeHead(503).end();
      return path.startsWith('/onep:v1/');
    });
    for (let round = 0; round < 6; round++) assert.match((await rig.checkIn()) ?? '', /503/);
    assert.doesNotMatch(rig.log(), /report\.(refused|set-aside)/);
    assert.ok(rig.proxy.requests.length <= 7, 'one small request each, after the first');
  });
});
