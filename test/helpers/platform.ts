/** An embedded platform on a free port, with the calls that an operator would make. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSystemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import { createSealer, SEAL_KEY_BYTES } from '../../src/fleet/people/seal.ts';
import { createFleetApi } from '../../src/fleet-api/fleet-api.ts';
import { createPlatformServer, type PlatformOptions } from '../../src/platform/server/server.ts';
import { decodeForm, encodeForm } from '../../src/protocol/codec.ts';
import { makeCertificates } from './certificates.ts';
import { httpRequest } from './http-request.ts';
import { removeRoot } from './remove-root.ts';

export interface TestHistoryEntry {
  value: string;
  timestamp: number;
  writer: 'device' | 'operator';
}

export interface TestPlatform {
  url: string;
  /** Where operators call: `url`, or with `admin` a listener of their own. */
  adminUrl: string;
  token: string;
  directory: string;
  /** PEM file of the certificate authority to trust, with `tls: true`. */
  caFile: string | undefined;
  /** Enables a serial number: the next activation of it succeeds. Again: a fresh key. */
  addDevice(product: string, serial: string): Promise<void>;
  disableDevice(product: string, serial: string): Promise<void>;
  /** Activates and returns the CIK. */
  activate(product: string, serial: string): Promise<string>;
  /** Creates or replaces; meta is `SHA256:<hex>` unless given. */
  putContent(product: string, id: string, bytes: Uint8Array, meta?: string): Promise<void>;
  deleteContent(product: string, id: string): Promise<void>;
  write(product: string, serial: string, alias: string, value: string): Promise<void>;
  /** `undefined` if it was never written. */
  read(product: string, serial: string, alias: string): Promise<string | undefined>;
  /** Newest first. */
  history(product: string, serial: string, alias: string): Promise<TestHistoryEntry[]>;
  close(): Promise<void>;
}

export type StartOptions = Partial<Omit<PlatformOptions, 'tls'>> & {
  tls?: boolean;
  /** Host names of the certificate, besides those of this machine. */
  names?: readonly string[];
  dir?: string;
};

export async function startPlatform(options: StartOptions = {}): Promise<TestPlatform> {
  const { tls = false, names = [], dir, ...rest } = options;
  if (dir !== undefined) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const directory = dir ?? mkdtempSync(join(tmpdir(), 'gwe-platform-'));
  const token = rest.adminToken ?? 'test-token-0123456789';
  const clock = rest.clock ?? createSystemClock();
  const certificates = tls ? makeCertificates(mkdtempSync(join(directory, 'tls-')), names) : undefined;
  const caFile = certificates?.caFile;
  const sealer = createSealer(Buffer.alloc(SEAL_KEY_BYTES, 7));
  const server = await createPlatformServer({
    directory,
    host: '127.0.0.1',
    port: 0,
    operatorApi: ({ bodyLimits, ...context }) => createFleetApi({ ...context, sealer }, bodyLimits),
    clock,
    log: createLogger({ level: 'error', format: 'text', clock, write: (line) => process.stderr.write(line) }),
    ...(certificates === undefined
      ? {}
      : { tls: { cert: certificates.serverCert, key: certificates.serverKey } }),
    ...rest,
    adminToken: token,
  });
  return {
    url: server.url,
    adminUrl: server.adminUrl,
    token,
    directory,
    caFile,
    ...operatorCalls(server.url, token, caFile),
    async close() {
      await server.close();
      if (dir === undefined) removeRoot(directory);
    },
  };
}

type OperatorCalls = Omit<TestPlatform, 'url' | 'adminUrl' | 'token' | 'directory' | 'caFile' | 'close'>;

/** The operator's calls against any running platform. */
export function operatorCalls(url: string, token: string, caFile?: string): OperatorCalls {
  const call = async (
    method: string,
    path: string,
    body?: string | Uint8Array,
    statuses = [200, 204, 205],
  ) => {
    const reply = await httpRequest(url + path, {
      method,
      headers: { 'x-exosite-token': token },
      ...(body === undefined ? {} : { body }),
      caFile,
    });
    if (!statuses.includes(reply.status)) throw new Error(`${method} ${path}: ${reply.status} ${reply.body}`);
    return reply;
  };
  const e = encodeURIComponent;
  const deviceUrl = (product: string, serial: string): string =>
    `/gwe/v1/products/${e(product)}/devices/${e(serial)}`;
  return {
    addDevice: async (product, serial) => {
      await call('POST', `/provision/manage/model/${e(product)}/${e(serial)}`, 'enable=true');
    },
    disableDevice: async (product, serial) => {
      await call('POST', `/provision/manage/model/${e(product)}/${e(serial)}`, 'disable=true');
    },
    activate: async (product, serial) => {
      const form = encodeForm([
        ['vendor', product],
        ['model', product],
        ['sn', serial],
      ]);
      return (await call('POST', '/provision/activate', form, [200])).body;
    },
    putContent: async (product, id, bytes, meta) => {
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const query = encodeForm([['meta', meta ?? `SHA256:${sha256}`]]);
      await call('PUT', `/gwe/v1/products/${e(product)}/content/${e(id)}?${query}`, bytes, [200]);
    },
    deleteContent: async (product, id) => {
      await call('DELETE', `/provision/manage/content/${e(product)}/${e(id)}`);
    },
    write: async (product, serial, alias, value) => {
      await call('POST', `${deviceUrl(product, serial)}/values`, encodeForm([[alias, value]]));
    },
    read: async (product, serial, alias) => {
      const reply = await call('GET', `${deviceUrl(product, serial)}/values?${e(alias)}`);
      return reply.status === 204 ? undefined : decodeForm(reply.body)[0]?.[1];
    },
    history: async (product, serial, alias) =>
      JSON.parse((await call('GET', `${deviceUrl(product, serial)}/history?alias=${e(alias)}`)).body),
  };
}
