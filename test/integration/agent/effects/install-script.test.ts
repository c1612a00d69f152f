/** install.sh scripts that fail, hang, flood, leave processes behind or are killed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { hasEnded } from '../../../helpers/has-ended.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { type FetchReport, installCommand, sendCommand, waitUntil } from '../../../helpers/reports.ts';
import { makeTarball } from '../../../helpers/tarball.ts';

function scripted(...lines: string[]): Buffer {
  return makeTarball({ 'install.sh': ['#!/bin/sh', ...lines, ''].join('\n') });
}

describe('install.sh', { concurrency: 4 }, () => {
  let platform: TestPlatform;
  const gateways: Gateway[] = [];
  let serial = 0;

  /** Installs a good v1, then the version with `lines`; the report of that one. */
  async function installOver(lines: readonly string[], settings = {}): Promise<[FetchReport, Gateway]> {
    const gateway = await createGateway(platform, { serial: `gw-${++serial}`, settings });
    gateways.push(gateway);
    gateway.start();
    const id = `app.v2-${gateway.serial}.tar.gz`;
    await platform.putContent('p1', id, scripted(...lines));
    const reports = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz', id), 2);
    assert.equal(reports[0]?.outcome, 'installed', JSON.stringify(reports[0]));
    assert.equal(gateway.isRunning(), true);
    return [reports[1] as FetchReport, gateway];
  }

  function assertRolledBack(report: FetchReport, gateway: Gateway, code: string): void {
    const facts = [report.status, report.outcome, report.code, report.active];
    assert.deepEqual(facts, ['failure', 'rolled-back', code, '1'], JSON.stringify(report));
    assert.match(gateway.active('app') ?? '', /^1-/);
    assert.equal(
      readFileSync(join(gateway.root, 'installed'), 'utf8'),
      '1\n',
      'the previous install.sh ran again',
    );
  }

  before(async () => {
    platform = await startPlatform();
    await platform.putContent('p1', 'app.v1.tar.gz', scripted('echo 1 >"$HOME/installed"'));
  });
  after(async () => {
    await Promise.all(gateways.map((gateway) => gateway.remove()));
    await platform.close();
  });

  test('one that fails is rolled back; its status and both outputs are reported', async () => {
    const [report, gateway] = await installOver([
      'echo 2 >"$HOME/installed"',
      'echo to stdout; echo to stderr >&2; exit 42',
    ]);
    assertRolledBack(report, gateway, 'INSTALL_FAILED');
    assert.equal(report.exitcode, 42);
    assert.equal(report.info, 'to stdout\nto stderr\n');
    assert.match(String(report.reason), /exited with status 42, expected 0; its last line: to stderr/);
  });

  test('one that fails for a Python module of the original says so by its name', async () => {
    const [report] = await installOver([
      'echo 2 >"$HOME/installed"',
      'echo "ImportError: No module named GatewayEngine.utils"; exit 1',
    ]);
    assert.match(
      String(report.reason),
      /the Python module 'GatewayEngine' is the original's: .*pack it with the app/,
    );
  });

  test('one that hangs is ended with all its children when its time is over', async () => {
    const [report, gateway] = await installOver(
      ['trap "" TERM', 'sleep 500 & echo $! >"$HOME/child"', 'echo $$ >"$HOME/leader"', 'sleep 500'],
      { install_timeout: 1 },
    );
    assertRolledBack(report, gateway, 'INSTALL_TIMEOUT');
    assert.match(String(report.reason), /within 1 s and was killed/);
    for (const name of ['child', 'leader']) {
      assert.ok(hasEnded(Number(readFileSync(join(gateway.root, name), 'utf8'))), name);
    }
  });

  test('one that prints 100 MB costs little memory and leaves both ends in the report', async () => {
    const [report, gateway] = await installOver([
      'echo first line',
      'head -c 100000000 /dev/zero | tr "\\0" "x"',
      'echo; echo last line',
    ]);
    assert.equal(report.outcome, 'installed');
    const info = String(report.info);
    assert.ok(info.length < 20_000, `${info.length} characters`);
    assert.match(info, /^first line\nx/);
    assert.match(info, /\[\.\.\. \d{8} bytes left out \.\.\.\]/);
    assert.match(info, /last line\n$/);
    const peakKib = Number(
      /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pidOf(gateway)}/status`, 'utf8'))?.[1],
    );
    assert.ok(peakKib > 0 && peakKib < 300 * 1024, `${peakKib} KiB`);
  });

  test('what it leaves running after exit 0 is left alone, and the report names it', async () => {
    const [report, gateway] = await installOver([
      'sleep 500 & echo $! >"$HOME/child"',
      'setsid sleep 501 >/dev/null 2>&1 & echo $! >"$HOME/daemon"',
    ]);
    assert.equal(report.outcome, 'installed');
    for (const name of ['child', 'daemon']) {
      const pid = Number(readFileSync(join(gateway.root, name), 'utf8'));
      assert.match(
        String(report.notes),
        new RegExp(`left running: .*sleep \\(pid ${pid}\\).*: they were left alone`),
      );
      assert.ok(!hasEnded(pid), name);
      process.kill(pid);
    }
  });

  test('what a failed one leaves in its session is ended; a service that it restarted is not', async () => {
    const [report, gateway] = await installOver([
      '(trap "" TERM HUP; sleep 502) & echo $! >"$HOME/stubborn"',
      'setsid sleep 503 >/dev/null 2>&1 & echo $! >"$HOME/service"; sleep 0.3; exit 9',
    ]);
    assertRolledBack(report, gateway, 'INSTALL_FAILED');
    const pidIn = (name: string): number => Number(readFileSync(join(gateway.root, name), 'utf8'));
    assert.ok(hasEnded(pidIn('stubborn')));
    assert.ok(!hasEnded(pidIn('service')));
    process.kill(pidIn('service'));
  });

  test('one that removes the directory of its version is rolled back, and the report says why', async () => {
    const [report, gateway] = await installOver(['rm -rf "$GWE_APP_DIR"']);
    assertRolledBack(report, gateway, 'INSTALL_FAILED');
    assert.match(
      String(report.reason),
      /install\.sh removed the directory of its version, expected it to stay/,
    );
  });

  test('one that is killed is rolled back, and the report names the signal', async () => {
    const [report, gateway] = await installOver(['kill -9 $$']);
    assertRolledBack(report, gateway, 'INSTALL_FAILED');
    assert.match(String(report.reason), /was ended by SIGKILL/);
  });

  test('an interpreter that does not exist is rolled back, and the report names it', async () => {
    const gateway = await createGateway(platform, { serial: 'gw-interpreter' });
    gateways.push(gateway);
    gateway.start();
    const lost = makeTarball({ 'install.sh': '#!/no/such/shell\n' });
    await platform.putContent('p1', 'lost.v1.tar.gz', lost);
    const [report] = await sendCommand(platform, gateway, installCommand('lost.v1.tar.gz'));
    assert.deepEqual([report?.outcome, report?.code, report?.active], ['rolled-back', 'INSTALL_FAILED', '']);
    assert.match(String(report?.reason), /interpreter in its first line, does not exist/);
    assert.equal(gateway.active('lost'), undefined);
    await waitUntil(gateway, 'another check-in', 30_000, () => gateway.isRunning());
  });
});

function pidOf(gateway: Gateway): string {
  return /agent\.start .*pid=(\d+)/.exec(gateway.log())?.[1] ?? '';
}
