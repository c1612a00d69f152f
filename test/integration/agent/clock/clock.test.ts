/** A gateway whose wall clock is wrong or jumps: certificates alone may mind. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { createFakeClock, type FakeClock, YEAR_S } from '../../../helpers/faketime.ts';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { fetchReports, installCommand, sendCommand, waitUntil } from '../../../helpers/reports.ts';
import { startSupervisord } from '../../../helpers/supervisord.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

const PROGRAM = '[supervisord]\ncommand = sleep 1000\n';
/** Says that it runs, and goes on when it may. */
const PATIENT = `#!/bin/sh
touch "$GWE_APP_DIR/../running-$GWE_APP_VERSION"
until [ -e "$GWE_APP_DIR/../go-$GWE_APP_VERSION" ]; do sleep 0.1; done
`;

function patient(version: string): Buffer {
  return makeTarball({ 'install.sh': PATIENT, 'supervisor.conf': PROGRAM, VERSION: version });
}

describe('a wrong wall clock', { concurrency: true }, () => {
  const ends: (() => Promise<void> | void)[] = [];
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  async function setUp(clock: FakeClock, options: { tls?: boolean; env?: Record<string, string> } = {}) {
    const platform: TestPlatform = await startPlatform({ tls: options.tls === true });
    const settings = {
      install_timeout: 60,
      ...(platform.caFile === undefined ? {} : { ca_file: platform.caFile }),
    };
    const gateway: Gateway = await createGateway(platform, {
      env: { ...clock.env, ...options.env },
      settings,
    });
    ends.push(
      () => platform.close(),
      () => clock.remove(),
      () => gateway.remove(),
    );
    return { platform, gateway };
  }

  function saveFloor(gateway: Gateway, savedAtMs: number): void {
    mkdirSync(join(gateway.root, 'var/lib/gwe'), { recursive: true });
    writeFileSync(join(gateway.root, 'var/lib/gwe/clock.json'), JSON.stringify({ version: 1, savedAtMs }));
  }

  test('in 1970, and through jumps of a year either way, an update is carried out and reported', async () => {
    const clock = createFakeClock();
    clock.setOffset(clock.toEpoch());
    // In the place of the machine's: the clock of a root that is not this machine is never set.
    const tools = mkdtempSync(join(tmpdir(), 'gwe-tools-'));
    ends.push(() => rmSync(tools, { recursive: true }));
    writeFileSync(join(tools, 'date'), `#!/bin/sh\ntouch '${tools}/was-called'\n`, { mode: 0o755 });
    const PATH = `${tools}${delimiter}${process.env.PATH}`;
    const { platform, gateway } = await setUp(clock, { env: { PATH } });
    const supervisord = await startSupervisord(gateway.root);
    ends.push(() => supervisord.stop());
    saveFloor(gateway, Date.now());
    gateway.start();
    for (const version of ['1', '2', '3']) {
      await platform.putContent('p1', `app.v${version}.tar.gz`, patient(version));
      const sent = sendCommand(platform, gateway, installCommand(`app.v${version}.tar.gz`));
      const apps = join(gateway.root, 'opt/gwe/apps/app');
      await waitUntil(gateway, `install.sh of ${version}`, 30_000, () =>
        existsSync(join(apps, `running-${version}`)),
      );
      // While install.sh runs: 1970 -> now, then a year back, then two years on.
      clock.setOffset(version === '1' ? 0 : version === '2' ? -YEAR_S : YEAR_S);
      writeFileSync(join(apps, `go-${version}`), '');
      const [report] = await sent;
      assert.equal(report?.outcome, 'installed', JSON.stringify(report));
    }
    const ids = (await fetchReports(platform, gateway)).map((report) => String(report.tx));
    assert.deepEqual(ids.toSorted(), ids, 'reports in the order of the updates');
    assert.equal(new Set(ids).size, 3);
    assert.equal(gateway.log().split('clock.behind').length, 2, 'told once');
    assert.equal(existsSync(join(tools, 'was-called')), false);
    assert.match(gateway.active('app') ?? '', /^3-/);
  });

  test('over TLS a clock of 1970 fails, says why, and verification holds; with the right time it goes on', async () => {
    const clock = createFakeClock();
    clock.setOffset(clock.toEpoch());
    const { platform, gateway } = await setUp(clock, { tls: true });
    gateway.start();
    await waitUntil(gateway, 'refusal', 20_000, () => gateway.log().includes('checkin.failed'));
    assert.match(gateway.log(), /certificate is not valid yet; this machine's clock says 1970/);
    assert.equal(await platform.read('p1', 'gw-1', 'engine_report'), undefined);
    clock.setOffset(0);
    await waitUntil(gateway, 'check-in', 30_000, () => gateway.log().includes('checkin.done'));
    const path = join(gateway.root, 'var/lib/gwe/clock.json');
    await waitUntil(gateway, 'saved time', 10_000, () => existsSync(path));
    const saved = readFileSync(path, 'utf8');
    assert.ok(Math.abs(JSON.parse(saved).savedAtMs - Date.now()) < 60_000, saved);
    clock.setOffset(YEAR_S);
    await waitUntil(gateway, 'expiry', 20_000, () => gateway.log().includes('certificate has expired'));
    assert.equal(readFileSync(path, 'utf8'), saved, 'a jump ahead moves no floor');
    clock.setOffset(0);
    const before = gateway.log().split('checkin.done').length;
    await waitUntil(gateway, 'check-in', 30_000, () => gateway.log().split('checkin.done').length > before);
  });
});
