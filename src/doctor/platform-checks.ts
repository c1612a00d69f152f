/** Checks of the way to the platform: clock, DNS, proxy, TLS, key. */
import { X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import type { AgentContext } from '../agent/run/context.ts';
import { deviceKey, platformSettings } from '../agent/run/platform-connection.ts';
import type { Clock } from '../base/clock.ts';
import { describeError, GweError } from '../base/errors.ts';
import { readFileBounded } from '../base/fs.ts';
import { createDataApi, type DataApi } from '../protocol/data.ts';
import { createTransport } from '../protocol/transport.ts';
import { probeTls, type TlsFacts } from '../protocol/transport-probe.ts';
import { selectProxy } from '../protocol/transport-proxy.ts';
import type { TransportSettings } from '../protocol/transport-types.ts';
import type { Layout } from '../store/layout.ts';
import type { Check, Finding } from './check.ts';
import { gweCommand } from './commands.ts';

/** This gwe did not exist before: a clock that shows an earlier time was never set. */
const CLOCK_FLOOR_MS = Date.UTC(2026, 0, 1);
/** Certificates are checked against it; beyond a day they may fail. */
const FAR_OFF_S = 24 * 3600;
const OFF_S = 300;
const DAY_MS = 24 * 3600 * 1000;
const FEW_DAYS = 21;
const LARGEST_PEM_BYTES = 1024 * 1024;
/** Below the deadline of a check, so that its own message comes first. */
const IDLE_MS = 8000;

export function platformChecks(
  context: Pick<AgentContext, 'layout' | 'clock' | 'env' | 'gweVersion' | 'settings' | 'device' | 'ledger'>,
): Check[] {
  const { clock } = context;
  const settings = (): TransportSettings => ({ ...platformSettings(context), timeoutMs: IDLE_MS });
  const withData = <T>(use: (data: DataApi) => Promise<T>): Promise<T> => useData(context, settings, use);
  const needsProduct = (run: Check['run']) => (): Finding | Promise<Finding> => {
    const why = blocked(context);
    return why === undefined ? run() : { status: 'warn', finding: `not checked: ${why}` };
  };
  return [
    { id: 'clock', run: () => checkClock(clock, () => withData((data) => data.readTimestamp())) },
    { id: 'proxy', run: needsProduct(() => checkProxy(settings())) },
    { id: 'dns', run: needsProduct(() => checkDns(settings())) },
    { id: 'tls', run: needsProduct(() => checkTls(context.layout, settings(), clock)) },
    { id: 'client-cert', run: () => checkClientCertificate(context.settings().clientCertFile, clock) },
    { id: 'platform', run: needsProduct(() => checkAnswer(() => withData((data) => data.readTimestamp()))) },
    {
      id: 'activation',
      run: needsProduct(() =>
        checkActivation(context, () => withData((data) => data.readAliases(['update_interval']))),
      ),
    },
  ];
}

/** Why there is no platform to check: another check reports it, and one is enough. */
function blocked(context: Pick<AgentContext, 'device'>): string | undefined {
  try {
    const { vendor, model } = context.device();
    return vendor !== '' && model !== '' ? undefined : 'no product is set, see identity';
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    return 'the configuration cannot be read, see config';
  }
}

async function useData<T>(
  context: Pick<AgentContext, 'layout' | 'clock' | 'settings' | 'device' | 'ledger'>,
  settings: () => TransportSettings,
  use: (data: DataApi) => Promise<T>,
): Promise<T> {
  const transport = createTransport(settings(), {
    clock: context.clock,
    onTraffic: (traffic) => context.ledger.add(traffic),
  });
  try {
    return await use(createDataApi(transport, deviceKey(context), { clock: context.clock }));
  } finally {
    transport.close();
    context.ledger.save();
  }
}

/** The platform's clock is asked without a key; when it does not answer, other checks say why. */
async function checkClock(clock: Clock, readPlatform: () => Promise<number>): Promise<Finding> {
  const now = new Date(clock.wallMs()).toISOString().slice(0, 19);
  const mend = "set the clock: run an NTP client, or 'date -s'; without a battery, at every boot";
  if (clock.wallMs() < CLOCK_FLOOR_MS) {
    return { status: 'fail', finding: `it says ${now} UTC: certificates seem not valid yet`, mend };
  }
  const platformS = await readPlatform().catch(() => undefined);
  if (platformS === undefined) return { status: 'ok', finding: `${now} UTC; nothing to compare it with` };
  const offS = Math.round(clock.wallMs() / 1000 - platformS);
  const finding = `${now} UTC, ${Math.abs(offS)} s ${offS < 0 ? 'behind' : 'ahead of'} the platform`;
  if (Math.abs(offS) > FAR_OFF_S) return { status: 'fail', finding, mend };
  return Math.abs(offS) > OFF_S ? { status: 'warn', finding, mend } : { status: 'ok', finding };
}

/** A connection is no answer yet. */
async function checkAnswer(ask: () => Promise<number>): Promise<Finding> {
  try {
    await ask();
    return { status: 'ok', finding: 'it answers' };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    const mend = "see 'tls' first; then check that a working platform listens at platform_url";
    return { status: 'fail', finding: describeError(error), mend };
  }
}

function checkProxy(settings: TransportSettings): Finding {
  const proxy = selectProxy(new URL(settings.baseUrl), settings.env);
  if (proxy !== undefined) return { status: 'ok', finding: `${proxy.label} by ${proxy.variable}` };
  return { status: 'ok', finding: `none for ${new URL(settings.baseUrl).host}, by the variables set here` };
}

async function checkDns(settings: TransportSettings): Promise<Finding> {
  const url = new URL(settings.baseUrl);
  const proxy = selectProxy(url, settings.env);
  const host = proxy?.host ?? url.hostname.replace(/^\[|\]$/g, '');
  const what = proxy === undefined ? `the platform, ${host},` : `the proxy, ${host},`;
  try {
    const addresses = (await lookup(host, { all: true })).map(({ address }) => address);
    if (addresses.includes(host)) return { status: 'ok', finding: `not needed: ${what} is an address` };
    return { status: 'ok', finding: `${what} is ${addresses.slice(0, 3).join(', ')}` };
  } catch (error) {
    return {
      status: 'fail',
      finding: `${what} has no address (${describeError(error)})`,
      mend: 'check /etc/resolv.conf, the network, product and platform_url',
    };
  }
}

async function checkTls(layout: Layout, settings: TransportSettings, clock: Clock): Promise<Finding> {
  try {
    // What no request would be made with, plain HTTP to another host for one, is refused here as there.
    createTransport(settings, { clock }).close();
    const facts = await probeTls(settings, clock);
    if (facts !== undefined) return judgeCertificate(facts, clock);
    return { status: 'ok', finding: `none: ${new URL(settings.baseUrl).origin} is plain HTTP, and answers` };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    const finding = describeError(error);
    if (isPlainHttp(finding)) return plainHttp(layout, settings, finding);
    return { status: 'fail', finding, mend: remedyFor(error, finding) };
  }
}

/** What TLS says of an answer in plain text. */
function isPlainHttp(finding: string): boolean {
  return finding.includes('does not speak TLS');
}

/** Only to this machine may it be plain HTTP. */
function plainHttp(layout: Layout, { baseUrl }: TransportSettings, finding: string): Finding {
  const { hostname, host } = new URL(baseUrl);
  if (!isLoopbackHost(hostname))
    return {
      status: 'fail',
      finding,
      mend: 'correct the port in platform_url, or set up TLS on the platform',
    };
  const run = gweCommand(layout, 'config', 'set', `platform_url=http://${host}`);
  return { status: 'fail', finding, run };
}

function isLoopbackHost(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(host);
}

function remedyFor(error: GweError, finding: string): string {
  if (error.code === 'CONFIG_INVALID')
    return 'set what fits: gwe --set-platform-url, --set-ca-file, --set-client-cert, --set-client-key';
  if (finding.includes(' TLS: '))
    return "see 'clock'; for a platform with a CA of its own: gwe --set-ca-file FILE; check platform_url and its certificate";
  return 'check that the network is up, that platform_url is right, and whether a proxy (HTTPS_PROXY) is needed';
}

function judgeCertificate(facts: TlsFacts, clock: Clock): Finding {
  const days = Math.floor((facts.validToMs - clock.wallMs()) / DAY_MS);
  const finding =
    `${facts.protocol}, ${facts.subject} by ${facts.issuer}, ${isoDay(facts.validFromMs)} to ` +
    `${isoDay(facts.validToMs)}: ${days} days left`;
  if (days >= FEW_DAYS) return { status: 'ok', finding };
  return { status: 'warn', finding, mend: 'renew the certificate on the platform' };
}

function checkClientCertificate(path: string, clock: Clock): Finding {
  if (path === '') return { status: 'ok', finding: 'none is set, and most platforms need none' };
  const pem = readFileBounded(path, LARGEST_PEM_BYTES);
  const certificate = pem === undefined ? undefined : parseCertificate(pem);
  if (certificate === undefined) {
    return {
      status: 'fail',
      finding: `'${path}' is ${pem === undefined ? 'no file' : 'no PEM certificate'}`,
      mend: "set a file that is a certificate: gwe --set-client-cert FILE, or '' for none",
    };
  }
  const { validFrom, validTo, subject } = certificate;
  const [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
  const days = Math.floor((toMs - clock.wallMs()) / DAY_MS);
  const finding = `${subject.replace(/\s+/g, ' ')}, ${isoDay(fromMs)} to ${isoDay(toMs)}: ${days} days left`;
  const mend = 'renew it and set the new file (--set-client-cert)';
  if (clock.wallMs() < fromMs || clock.wallMs() > toMs) return { status: 'fail', finding, mend };
  return days < FEW_DAYS ? { status: 'warn', finding, mend } : { status: 'ok', finding };
}

function parseCertificate(pem: Buffer): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

async function checkActivation(
  context: Pick<AgentContext, 'device'>,
  read: () => Promise<unknown>,
): Promise<Finding> {
  const { cik, model } = context.device();
  if (cik === '') {
    const mend = `start gwe; if this does not change, enable this gateway's serial in product ${model} on the platform`;
    return { status: 'warn', finding: 'no key yet: gwe requests one at its first check-in', mend };
  }
  try {
    await read();
    return { status: 'ok', finding: `the platform accepts the key ...${cik.slice(-4)}` };
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'PROTOCOL_UNAUTHORIZED') throw error;
    return {
      status: 'fail',
      finding: `the platform refuses the key ...${cik.slice(-4)} (401)`,
      mend: 'enable this serial again on the platform: gwe then gets a new key without further action',
    };
  }
}

function isoDay(ms: number): string {
  return Number.isNaN(ms) ? 'an unknown day' : new Date(ms).toISOString().slice(0, 10);
}
