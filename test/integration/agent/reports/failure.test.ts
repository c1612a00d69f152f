/** What the report of a failure says: enough to find out why from afar, in 2 KiB, each told once and counted. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { type FetchReport, installCommand, sendCommand } from '../../../helpers/reports.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

const LIMIT_BYTES = 2048;

function scripted(...lines: string[]): Buffer {
  return makeTarball({ 'install.sh': ['#!/bin/sh', ...lines, ''].join('\n') });
}

describe('the report of a failure', () => {
  let platform: TestPlatform;
  let gateway: Gateway;

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform);
    await platform.putContent('p1', 'app.v1.tar.gz', scripted('echo good'));
    await platform.putContent(
      'p1',
      'app.v2.tar.gz',
      scripted(
        'for i in $(seq 300); do echo "line $i: unpacking ..."; done',
        'echo "cp: cannot create /opt/x: Read-only file system"',
        'for i in $(seq 300); do echo "line $i: \u00e4 \\"quoted\\" and \\\\ more"; done',
        'exit 42',
      ),
    );
    gateway.start();
    await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
  });
  after(async () => {
    await gateway.remove();
    await platform.close();
  });

  async function fail(id: string): Promise<FetchReport> {
    const [report] = await sendCommand(platform, gateway, installCommand(id));
    const bytes = Buffer.byteLength(JSON.stringify(report));
    assert.ok(bytes <= LIMIT_BYTES, `${bytes} bytes`);
    return report as FetchReport;
  }

  test('names what was asked, where it stopped and why, what was done and what comes next', async () => {
    const report = await fail('app.v2.tar.gz');
    assert.deepEqual(Object.keys(report).slice(0, 6), [
      'name',
      'version',
      'status',
      'exitcode',
      'test',
      'info',
    ]);
    assert.deepEqual(
      [report.status, report.exitcode, report.outcome, report.phase, report.code, report.active],
      ['failure', 42, 'rolled-back', 'installing', 'INSTALL_FAILED', '1'],
    );
    assert.deepEqual(report.asked, { id: 'app.v2.tar.gz' });
    assert.deepEqual(report.lines, ['cp: cannot create /opt/x: Read-only file system']);
    assert.match(String(report.did), /undid it; 1 is active/);
    assert.match(String(report.next), /another command/);
    assert.match(String(report.info), /bytes left out[\s\S]*line 300/);
  });

  test('tells how the gateway was at that time', async () => {
    const report = await fail('app.v9.tar.gz');
    const system = report.system as Record<string, unknown>;
    assert.equal(report.code, 'DOWNLOAD_NOT_FOUND');
    assert.equal(typeof report.tx, 'string');
    for (const key of ['time', 'disk_free', 'inodes_free', 'memory_free', 'load'])
      assert.equal(typeof system[key], 'number', key);
    assert.equal(typeof system.interface, 'string');
  });

  test('is counted, so that a reader sees a repeat and a gap', async () => {
    const first = await fail('app.v8.tar.gz');
    const second = await fail('no such name');
    assert.equal(second.outcome, 'rejected');
    assert.equal(Number(second.seq), Number(first.seq) + 1);
    await gateway.stop();
    gateway.start();
    const third = await fail('app.v7.tar.gz');
    assert.equal(Number(third.seq), Number(second.seq) + 1);
    const all = await platform.history('p1', 'gw-1', 'fetch_status');
    const ids = all.map(({ value }) => (JSON.parse(value) as FetchReport).tx);
    assert.equal(new Set(ids).size, ids.length, 'none came twice');
  });
});
