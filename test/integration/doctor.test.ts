/** `gwe doctor` as a process, on gateways with one thing wrong each. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as tls from 'node:tls';
import { createGateway, FROM_SOURCE, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { runGwe } from '../helpers/run-gwe.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { INSTALL_OK, makeTarball } from '../helpers/tarball.ts';

interface Result {
  id: string;
  status: string;
  finding: string;
  mend?: string;
}

let platform: TestPlatform;
let gateway: Gateway;
let supervisord: Supervisord;
let scratch = '';

before(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'gwe-doctor-'));
  platform = await startPlatform({ tls: true });
  gateway = await createGateway(platform);
  gateway.gwe('--set-ca-file', platform.caFile ?? '');
  supervisord = await startSupervisord(gateway.root);
  const { status, stderr } = await runGwe([...FROM_SOURCE, '--once'], { GWE_ROOT: gateway.root });
  assert.equal(status, 0, stderr);
});
after(async () => {
  await supervisord.stop();
  await gateway.remove();
  await platform.close();
  rmSync(scratch, { recursive: true });
});

/** Runs it with --json on `root`. */
async function examine(root: string, env: Record<string, string> = {}) {
  const { status, stdout, stderr } = await runGwe([...FROM_SOURCE, 'doctor', '--json'], {
    GWE_ROOT: root,
    ...env,
  });
  assert.equal(stderr, '');
  const document = JSON.parse(stdout) as { version: number; ok: boolean; root: string; checks: Result[] };
  const of = (id: string): Result => {
    const found = document.checks.find((check) => check.id === id);
    assert.ok(found !== undefined, `no check '${id}' in ${stdout}`);
    return found;
  };
  return { status, document, of };
}

/** A root of its own with the lines of both configuration files. */
function makeRoot(name: string, device: string, engine: string): string {
  const root = join(scratch, name);
  mkdirSync(join(root, 'etc/gwe'), { recursive: true });
  writeFileSync(join(root, 'etc/gwe/Gateway.cfg'), `[device]\n${device}\n`);
  writeFileSync(join(root, 'etc/gwe/Engine.config'), `[engine]\n${engine}\n`);
  return root;
}

test('a healthy gateway passes, and the certificate, key and supervisord are described', async () => {
  const { status, document, of } = await examine(gateway.root);
  assert.deepEqual(
    document.checks.filter((check) => check.status === 'fail'),
    [],
  );
  assert.equal(status, 0);
  assert.deepEqual([document.version, document.ok, document.root], [1, true, gateway.root]);
  assert.match(of('tls').finding, /^TLSv1\.3, platform by Test CA, .*: 1 days left$/);
  assert.match(of('activation').finding, /accepts the key \.\.\.[0-9A-Za-z]{4}$/);
  assert.match(
    of('supervisord').finding,
    /^API 3\.0, RUNNING; at .*sock, configured by .*, program entries in .*conf\.d\/\*\.conf$/,
  );
  assert.match(of('identity').finding, /^product p1, serial gw-1$/);
  assert.match(of('clock').finding, / [01] s (behind|ahead of) the platform$/);
  assert.match(of('runtime').finding, /^Node \d+\.\d+\.\d+, glibc \d/);
  assert.match(of('proxy').finding, /^none for 127\.0\.0\.1/);
  const key = readFileSync(join(gateway.root, 'etc/gwe/Gateway.cfg'), 'utf8').match(/cik = (\w{40})/)?.[1];
  assert.ok(key !== undefined && !JSON.stringify(document).includes(key));
});

test('as text it has a line for each check, whole and without colour where there is no terminal', async () => {
  const env = { GWE_ROOT: gateway.root };
  const { stdout } = await runGwe([...FROM_SOURCE, 'doctor'], env);
  const lines = stdout.trimEnd().split('\n');
  assert.ok(!stdout.includes('\u001b'));
  const { document } = await examine(gateway.root);
  assert.deepEqual(
    lines.filter((line) => !line.startsWith(' ')).map((line) => line.split(/\s+/)[1]),
    document.checks.map(({ id }) => id),
  );
});

test('gwe plan for an item of the content area shows the clock and certificate of the platform as well', async () => {
  await platform.putContent('p1', 'app.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
  const env = { GWE_ROOT: gateway.root };
  const json = await runGwe([...FROM_SOURCE, 'plan', 'app.v1.tar.gz', '--json'], env);
  assert.equal(json.status, 0, json.stderr);
  const { platform: shown } = JSON.parse(json.stdout);
  assert.deepEqual([shown.subject, shown.issuer], ['platform', 'Test CA']);
  assert.ok(Math.abs(shown.clockAhead) <= 2, json.stdout);
  assert.ok(shown.validTo > Date.now() / 1000 && shown.validFrom < Date.now() / 1000, json.stdout);
  const text = await runGwe([...FROM_SOURCE, 'plan', 'app.v1.tar.gz'], env);
  assert.match(text.stdout, /platform +platform, valid until \d{4}-\d\d-\d\d, its clock [0-2] s/);
});

test('a key that the platform no longer knows is a failure', async () => {
  const other = makeRoot(
    'key',
    `cik = ${'a'.repeat(40)}\nmodel = p1\nvendor = p1\nuuid = gw-1`,
    `platform_url = ${platform.url}\nca_file = ${platform.caFile}`,
  );
  const { status, of } = await examine(other);
  assert.equal(status, 1);
  assert.equal(of('activation').status, 'fail');
  assert.match(of('activation').finding, /refuses the key \.\.\.aaaa \(401\)/);
  assert.equal(of('tls').status, 'warn');
});

test('an expired certificate is named with the clock, and a missing CA file with the option', async () => {
  const key = join(scratch, 'old.key');
  const cert = join(scratch, 'old.pem');
  const request = join(scratch, 'old.csr');
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', ...curve, '-keyout', key, '-out', request, '-subj', '/CN=localhost');
  openssl('x509', '-req', '-in', request, '-signkey', key, '-days', '-1', '-out', cert);
  const server = tls.createServer({ key: readFileSync(key), cert: readFileSync(cert) });
  server.on('tlsClientError', () => undefined);
  after(() => void server.close());
  server.unref();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const url = `platform_url = https://127.0.0.1:${address.port}`;
  const expired = await examine(
    makeRoot('expired', 'model = p1\nvendor = p1\nuuid = u', `${url}\nca_file = ${cert}`),
  );
  assert.equal(expired.status, 1);
  assert.match(expired.of('tls').finding, /certificate has expired; this machine's clock says 20/);
  const untrusted = `platform_url = ${platform.url}`;
  const device = 'model = p1\nvendor = p1\nuuid = u';
  const unknown = await examine(makeRoot('unknown', device, untrusted));
  assert.match(unknown.of('tls').finding, /set a CA file/);
});

test('each fault of the gateway itself is found by a check of its own', async () => {
  const root = makeRoot(
    'wrong',
    'model = p1\nvendor = p1',
    'update_interval = soon\nplatform_url = https://no-such-host.test',
  );
  mkdirSync(join(root, 'run/gwe'), { recursive: true });
  const dead = { pid: 4_000_000, startTicks: '1', bootId: 'x', purpose: 'agent' };
  writeFileSync(join(root, 'run/gwe/agent.lock'), JSON.stringify(dead));
  const { status, of } = await examine(root, { HTTPS_PROXY: 'ftp://127.0.0.1:1' });
  assert.equal(status, 1);
  assert.deepEqual([of('config').status, of('identity').status], ['warn', 'fail']);
  assert.match(of('config').finding, /update_interval: found 'soon'/);
  assert.match(of('identity').finding, /gwe --set-uuid SERIAL/);
  assert.match(of('locks').finding, /agent\.lock' is of a process that is gone/);
  assert.equal(of('supervisord').status, 'fail');
  assert.match(of('supervisord').mend ?? '', /apt-get install supervisor/);
  assert.match(of('proxy').finding, /HTTPS_PROXY: a 'ftp:/);
  const straight = await examine(root);
  assert.equal(straight.of('dns').status, 'fail');
  assert.match(straight.of('dns').finding, /no-such-host\.test, has no address/);
});

test('every failure on the way to the platform comes with its remedy', async () => {
  const device = 'model = p1\nvendor = p1\nuuid = u';
  const rows: readonly (readonly [
    name: string,
    engine: string,
    id: string,
    finding: RegExp,
    mend: RegExp,
  ])[] = [
    ['http-far', 'platform_url = http://192.0.2.1', 'tls', /plain HTTP would show/, /--set-platform-url/],
    ['http-dead', 'platform_url = http://127.0.0.1:1', 'tls', /connection refused/, /network is up/],
    ['https-dead', 'platform_url = https://127.0.0.1:1', 'tls', /connection refused/, /network is up/],
    ['private-ca', `platform_url = ${platform.url}`, 'tls', /TLS: /, /--set-ca-file/],
    ['no-cert', `client_cert = ${scratch}/none.pem`, 'client-cert', /is no file/, /--set-client-cert/],
    ['bad-cert', 'client_cert = /etc/hostname', 'client-cert', /no PEM certificate/, /--set-client-cert/],
  ];
  await Promise.all(
    rows.map(async ([name, engine, id, finding, mend]) => {
      const { status, of } = await examine(makeRoot(name, device, engine));
      assert.equal(status, 1, name);
      assert.equal(of(id).status, 'fail', name);
      assert.match(of(id).finding, finding, name);
      assert.match(of(id).mend ?? '', mend, name);
    }),
  );
});

test('a configuration that cannot be read is one failure with its remedy, not one for each check', async () => {
  const root = makeRoot('unreadable', '', '');
  rmSync(join(root, 'etc/gwe/Gateway.cfg'));
  mkdirSync(join(root, 'etc/gwe/Gateway.cfg'));
  const { status, of } = await examine(root);
  assert.equal(status, 1);
  assert.match(of('config').mend ?? '', /move it away/);
  for (const id of ['dns', 'tls', 'proxy', 'activation']) {
    assert.deepEqual(
      [of(id).status, of(id).finding],
      ['warn', 'not checked: the configuration cannot be read, see config'],
    );
  }
});

test('without a product only that is a failure of the configuration', async () => {
  const { of } = await examine(makeRoot('fresh', '', ''));
  assert.equal(of('identity').status, 'fail');
  for (const id of ['dns', 'tls', 'activation']) assert.equal(of(id).status, 'warn', id);
  assert.equal(of('clock').status, 'ok');
});

test('a password that others may read is reported, with the command that closes the file', async () => {
  const root = makeRoot('exposed', 'model = p1', 'supervisor_password = hunter2');
  const file = join(root, 'etc/gwe/Engine.config');
  const found = (await examine(root)).of('config');
  assert.deepEqual([found.status, found.mend], ['warn', `chmod 600 ${file}`]);
  chmodSync(file, 0o600);
  const { of, document } = await examine(root);
  assert.equal(of('config').status, 'ok');
  assert.ok(!JSON.stringify(document).includes('hunter2'));
  const shown = await runGwe([...FROM_SOURCE, '-e'], { GWE_ROOT: root });
  assert.match(shown.stdout, /supervisor_password = \(left out\)/);
});
