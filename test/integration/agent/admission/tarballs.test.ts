/** Tarballs that must not be installed: each is rejected with its reason, and what runs goes on running. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createGateway, type Gateway } from '../../../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand, sendCommand, waitUntil } from '../../../helpers/reports.ts';
import { startSupervisord } from '../../../helpers/supervisord.ts';
import { gzipTar, rawEntry } from '../../../helpers/tar-bytes.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const CONF = '[supervisord]\ncommand = sleep 1000\n';
const LIMIT_BYTES = 100_000;

interface Bad {
  name: string;
  bytes: Buffer;
  code: string;
  reason: RegExp;
}

function bad(name: string, bytes: Buffer, code: string, reason: RegExp): Bad {
  return { name, bytes, code, reason };
}

const install = rawEntry({ name: 'install.sh', mode: 0o755 }, INSTALL_OK);
const whole = makeTarball({ 'install.sh': INSTALL_OK, 'supervisor.conf': CONF, data: randomText(20_000) });

/** Text that gzip cannot make much of. */
function randomText(length: number): string {
  let seed = 1;
  return Array.from({ length }, () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return String.fromCharCode(33 + (seed % 90));
  }).join('');
}

/** Two gateways work on a half each: a gateway sends one report a second. */
const BAD: readonly Bad[][] = [
  [
    bad('truncated', whole.subarray(0, whole.length / 2), 'ARTIFACT_FORMAT', /end|truncated|short/),
    bad('not gzip', Buffer.from('PK\u0003\u0004 this is a zip'), 'ARTIFACT_FORMAT', /gzip/),
    bad('empty', Buffer.alloc(0), 'ARTIFACT_FORMAT', /empty|gzip|0 bytes/),
    bad('no install.sh', makeTarball({ 'run.sh': INSTALL_OK }), 'ARTIFACT_LAYOUT', /install\.sh/),
    bad(
      'without x bit',
      makeTarball({ 'install.sh': { content: INSTALL_OK, mode: 0o644 } }),
      'ARTIFACT_LAYOUT',
      /mode 0?644|x bit|chmod/,
    ),
    bad('without shebang', makeTarball({ 'install.sh': 'exit 0\n' }), 'ARTIFACT_LAYOUT', /#!/),
  ],
  [
    bad(
      'absolute path',
      gzipTar(install, rawEntry({ name: '/tmp/gwe-evil' }, 'x')),
      'ARTIFACT_ENTRY',
      /'\/tmp\/gwe-evil'/,
    ),
    bad(
      'dot dot',
      gzipTar(install, rawEntry({ name: '../../evil' }, 'x')),
      'ARTIFACT_ENTRY',
      /'\.\.\/\.\.\/evil'/,
    ),
    bad(
      'a link that leaves the root',
      gzipTar(
        install,
        rawEntry({ name: 'out', type: '2', link: '../../..' }),
        rawEntry({ name: 'out/evil' }, 'x'),
      ),
      'ARTIFACT_ENTRY',
      /'out'/,
    ),
    bad('a device node', gzipTar(install, rawEntry({ name: 'dev', type: '3' })), 'ARTIFACT_ENTRY', /'dev'/),
    bad(
      'more than the limit unpacked',
      makeTarball({ 'install.sh': INSTALL_OK, zeros: { content: Buffer.alloc(4 * LIMIT_BYTES) } }),
      'ARTIFACT_LIMIT',
      /100000/,
    ),
  ],
];

describe('bad tarballs', { concurrency: 4 }, () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
    await platform.putContent(
      'p1',
      'app.v1.tar.gz',
      makeTarball({ 'install.sh': INSTALL_OK, 'supervisor.conf': CONF }),
    );
  });
  after(() => platform.close());

  for (const [half, tarballs] of BAD.entries()) {
    const names = tarballs.map(({ name }) => name).join(', ');
    test(`${names}: rejected with the reason; the version before stays active and its process runs on`, async (t) => {
      const gateway = await createGateway(platform, {
        serial: `gw-${half}`,
        settings: { max_unpacked_bytes: LIMIT_BYTES, settle_time: 0 },
      });
      const supervisord = await startSupervisord(gateway.root);
      t.after(async () => {
        await gateway.remove();
        await supervisord.stop();
      });
      gateway.start();
      const [first] = await sendCommand(platform, gateway, installCommand('app.v1.tar.gz'));
      assert.equal(first?.outcome, 'installed', JSON.stringify(first));
      const active = gateway.active('app');
      const pid = (await supervisord.processInfo('app'))?.pid;
      await rejectAll(gateway, tarballs, half);
      assert.equal(gateway.active('app'), active);
      assert.deepEqual(gateway.versions('app'), [active]);
      const process = await supervisord.processInfo('app');
      assert.deepEqual([process?.statename, process?.pid], ['RUNNING', pid]);
      assert.equal(existsSync('/tmp/gwe-evil'), false);
      assert.equal(existsSync(join(gateway.root, 'opt/gwe/evil')), false);
      await waitUntil(gateway, 'clean download directory', 30_000, () => downloadsOf(gateway).length === 0);
    });
  }

  async function rejectAll(gateway: Gateway, tarballs: readonly Bad[], half: number): Promise<void> {
    const ids = tarballs.map((_tarball, index) => `app.v${half}-${index}.tar.gz`);
    for (const [index, { bytes }] of tarballs.entries()) {
      await platform.putContent('p1', ids[index] ?? '', bytes);
    }
    const reports = await sendCommand(platform, gateway, installCommand(...ids), ids.length, 40_000);
    for (const [index, { name, code, reason }] of tarballs.entries()) {
      const report = reports[index];
      const shown = `${name}: ${JSON.stringify(report)}`;
      assert.deepEqual([report?.outcome, report?.code, report?.active], ['rejected', code, '1'], shown);
      assert.match(String(report?.reason), reason, shown);
    }
  }
});

function downloadsOf(gateway: Gateway): string[] {
  const directory = join(gateway.root, 'var/lib/gwe/downloads');
  return existsSync(directory) ? readdirSync(directory) : [];
}
