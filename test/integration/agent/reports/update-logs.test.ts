/** What install.sh printed stays on the gateway, and comes to the platform when it is asked for. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import {
  type FetchReport,
  fetchReports,
  installCommand,
  sendCommand,
  waitUntil,
} from '../../../helpers/reports.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

const LINES = 1200;
/** 33 KB, and two more bytes for each line's quotes and its end. */
const PIECES = 3;

describe('the log of an update', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let failed: FetchReport;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    const script = `#!/bin/sh\nfor i in $(seq ${LINES}); do echo "line $i: \u00e4 \\"quoted\\" text"; done\nexit 42\n`;
    await platform.putContent('p1', 'loud.v1.tar.gz', makeTarball({ 'install.sh': script }));
    await platform.putContent('p1', 'mute.v1.tar.gz', makeTarball({ 'install.sh': '#!/bin/sh\nexit 0\n' }));
    gateway.start();
    const [report] = await sendCommand(
      platform,
      gateway,
      installCommand('loud.v1.tar.gz', 'mute.v1.tar.gz'),
      2,
    );
    failed = report as FetchReport;
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  /** All pieces that come for one request. */
  async function ask(logs: unknown): Promise<FetchReport[]> {
    const from = (await fetchReports(platform, gateway)).length;
    await platform.write('p1', gateway.serial, 'engine_fetch', JSON.stringify({ logs }));
    let pieces: FetchReport[] = [];
    await waitUntil(gateway, 'all pieces', 60_000, async () => {
      pieces = (await fetchReports(platform, gateway)).slice(from);
      return pieces.length > 0 && pieces.length >= Number(pieces[0]?.pieces ?? 1);
    });
    return pieces;
  }

  test('comes in pieces of 16 KiB at most, which make up the file on the gateway', async () => {
    const pieces = await ask([{ app: 'loud' }]);
    const kept = readFileSync(join(gateway.root, 'var/lib/gwe/logs', `${failed.tx}.log`), 'utf8');
    assert.match(kept, /^== 20\S+ install\.sh of loud 1 exited with status 42, expected 0\nline 1:/);
    assert.match(kept, new RegExp(`\nline ${LINES}: .*\n$`));
    assert.equal(pieces.map(({ info }) => info).join(''), kept);
    assert.equal(pieces.length, PIECES);
    for (const [index, piece] of pieces.entries()) {
      assert.ok(Buffer.byteLength(JSON.stringify(piece)) <= 16 * 1024);
      assert.deepEqual([piece.status, piece.name, piece.version, piece.tx], ['log', 'loud', '1', failed.tx]);
      assert.deepEqual([piece.piece, piece.pieces], [index + 1, pieces.length]);
    }
    const again = await ask([{ tx: failed.tx }]);
    assert.equal(again.map(({ info }) => info).join(''), kept);
  });

  test('is asked for beside an installation', async () => {
    const { install } = JSON.parse(installCommand('mute.v1.tar.gz')) as Record<string, unknown>;
    const both = JSON.stringify({ install, logs: [{ app: 'loud' }] });
    const [installed, ...pieces] = await sendCommand(platform, gateway, both, 1 + PIECES);
    assert.equal(installed?.outcome, 'unchanged');
    assert.deepEqual(
      pieces.map(({ status, piece, pieces: of }) => [status, piece, of]),
      Array.from({ length: PIECES }, (_, index) => ['log', index + 1, PIECES]),
    );
  });

  test('comes once where gwe is killed between two pieces', async () => {
    const from = (await fetchReports(platform, gateway)).length;
    await platform.write('p1', gateway.serial, 'engine_fetch', '{"logs": [{"app": "loud"}]}');
    const arrived = async (): Promise<FetchReport[]> => (await fetchReports(platform, gateway)).slice(from);
    await waitUntil(gateway, 'the first piece', 60_000, async () => (await arrived()).length > 0);
    await gateway.kill();
    assert.ok((await arrived()).length < PIECES);
    gateway.start();
    await waitUntil(gateway, 'the last piece', 60_000, async () =>
      (await arrived()).some(({ piece }) => piece === PIECES),
    );
    // Whatever came after them would be a piece that came twice.
    const [install] = await sendCommand(platform, gateway, installCommand('mute.v1.tar.gz'));
    assert.equal(install?.outcome, 'unchanged');
    assert.deepEqual(
      (await arrived()).map(({ piece }) => piece),
      [1, 2, 3, undefined],
    );
  });

  test('is shown at the gateway, also of an app that was never installed', () => {
    const { status, stdout } = gateway.gwe('logs', 'loud', '--install', '-n', '1');
    assert.deepEqual([status, stdout], [0, `line ${LINES}: \u00e4 "quoted" text\n`]);
    assert.match(gateway.gwe('logs', 'mute', '--install').stderr, /no update of 'mute' has left a log/);
  });

  test('requests that cannot be met are reported one by one', async () => {
    const bad = [{ app: 'mute' }, { tx: '../../../etc/passwd' }, { app: 'a', tx: 'b' }];
    const reports = await sendCommand(platform, gateway, JSON.stringify({ logs: bad }), 3);
    assert.deepEqual(
      reports.map(({ outcome, code }) => [outcome, code]),
      [
        ['failed-no-change', 'STORE_IO'],
        ['failed-no-change', 'STORE_IO'],
        ['rejected', 'COMMAND_INVALID'],
      ],
    );
    const [report] = await sendCommand(platform, gateway, '{"logs": true}');
    assert.match(String(report?.reason), /'logs': it is "true", expected \{"logs"/);
  });

  test('does not come where the data budget has no room for it', async () => {
    const path = join(gateway.root, 'etc/gwe/Engine.config');
    const text = readFileSync(path, 'utf8');
    const { periods } = JSON.parse(gateway.gwe('traffic', '--json').stdout) as {
      periods: { rxBytes: number; txBytes: number }[];
    };
    const usedBytes = periods.reduce((sum, { rxBytes, txBytes }) => sum + rxBytes + txBytes, 0);
    writeFileSync(path, `${text}budget_month = ${usedBytes + 40_000}\nbudget_reserve = 0\n`);
    const [report] = await sendCommand(platform, gateway, '{"logs": [{"app": "loud"}]}');
    assert.deepEqual([report?.outcome, report?.code], ['failed-no-change', 'BUDGET_SPENT']);
    writeFileSync(path, text);
  });
});
