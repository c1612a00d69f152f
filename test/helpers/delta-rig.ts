import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import * as http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFetchEffects } from '../../src/agent/effects/compose-runner.ts';
import { composeContext } from '../../src/agent/run/compose.ts';
import type { AgentContext } from '../../src/agent/run/context.ts';
import { composeContentApi } from '../../src/agent/run/platform-connection.ts';
import { DEFAULT_LIMITS } from '../../src/artifact/limits.ts';
import { parseArtifactName } from '../../src/artifact/name.ts';
import { extractArtifact } from '../../src/artifact/unpack/extract.ts';
import { type Clock, createSystemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import { createTransport } from '../../src/protocol/transport.ts';
import { createLayout, type Layout, versionDirectory } from '../../src/store/layout.ts';
import { activate } from '../../src/store/versions.ts';
import type { Transaction } from '../../src/update/journal.ts';
import type { UpdateState } from '../../src/update/state-machine.ts';
import { removeRoot } from './remove-root.ts';

/** The fetching half of an update in this process: a root with versions in it, and a content area that breaks off. */

export interface Item {
  bytes: Buffer;
  meta: string;
  updated: number;
}

/** One request for content: where it started, and how many bytes went out for it. */
export interface Served {
  range: string | undefined;
  sentBytes: number;
}

export interface DeltaRig {
  layout: Layout;
  context: AgentContext;
  items: Map<string, Item>;
  served: Served[];
  log: string[];
  /** Bytes after which each answer breaks off; `undefined` for the end of it. Default: never. */
  cut: (served: readonly Served[]) => number | undefined;
  /** Whether the server knows of ranges. */
  hasRanges: boolean;
  put(id: string, bytes: Buffer, meta?: string): void;
  /** Unpacks `bytes` as the active version, as if it had been installed. */
  install(id: string, bytes: Buffer): Promise<string>;
  /** From `planned` to the promoted tree, whose directory it returns; `signal` ends it as a stop of gwe does. */
  update(id: string, options?: UpdateOptions): Promise<{ directory: string; transaction: Transaction }>;
  close(): Promise<void>;
}

export interface UpdateOptions {
  expectedSha256?: string;
  signal?: AbortSignal;
  tx?: string;
}

const STATES = ['planned', 'downloading', 'verified', 'staged'] as const;

export async function createDeltaRig(
  settings: Readonly<Record<string, string | number>> = {},
): Promise<DeltaRig> {
  const root = mkdtempSync(join(tmpdir(), 'gwe-delta-'));
  const layout = createLayout(root);
  mkdirSync(join(root, 'etc/gwe'), { recursive: true });
  const lines = Object.entries({ insecure_http: 'true', debug_level: 'DEBUG', ...settings });
  writeFileSync(
    layout.engineConfig,
    `[engine]\n${lines.map(([key, value]) => `${key} = ${value}\n`).join('')}`,
  );
  writeFileSync(
    layout.gatewayConfig,
    '[device]\nuuid = gw-1\nmodel = p1\nvendor = p1\ncik = 0123456789012345678901234567890123456789\n',
  );
  const log: string[] = [];
  const real = createSystemClock();
  const clock: Clock = { ...real, sleep: (_ms, signal) => real.sleep(0, signal) };
  const context: AgentContext = {
    ...composeContext({
      layout,
      log: createLogger({ level: 'debug', format: 'text', clock, write: (line) => void log.push(line) }),
      env: process.env,
      gweVersion: '1.0',
      signal: new AbortController().signal,
    }),
    clock,
  };
  const items = new Map<string, Item>();
  const rig: DeltaRig = {
    layout,
    context,
    items,
    served: [],
    log,
    cut: () => undefined,
    hasRanges: true,
    put(id, bytes, meta = '') {
      items.set(id, { bytes, meta, updated: 1_700_000_000 + items.size + log.length });
    },
    async install(id, bytes) {
      const { name, version } = parseArtifactName(id);
      const file = join(root, id);
      const staging = join(root, 'unpacked');
      writeFileSync(file, bytes);
      const contents = await extractArtifact(file, staging, { limits: DEFAULT_LIMITS });
      const directory = versionDirectory(layout, name, { version, digest: contents.digest });
      mkdirSync(join(directory, '..'), { recursive: true });
      const { renameSync } = await import('node:fs');
      renameSync(join(staging, contents.rootPrefix), directory);
      if (contents.rootPrefix !== '' && contents.index !== undefined)
        renameSync(join(staging, '.gwe'), join(directory, '.gwe'));
      removeRoot(staging);
      rmSync(file);
      const active = { version, digest: contents.digest, contentId: id, hasProgram: false, installedAtMs: 0 };
      const { previous } = { previous: context.installed.get(name).active };
      context.installed.set(name, { active, refused: [], ...(previous === undefined ? {} : { previous }) });
      activate(layout, name, active);
      return directory;
    },
    update: (id, options) => runUpdate(rig, api(), id, options),
    async close() {
      transport.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      removeRoot(root);
    },
  };
  const server = http.createServer((request, response) => serve(rig, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const transport = createTransport(
    {
      baseUrl: `http://127.0.0.1:${port}`,
      userAgent: 'test',
      timeoutMs: 5000,
      allowInsecureHttp: true,
      env: {},
    },
    { clock: real },
  );
  const api = () => ({ ...composeContentApi(context, transport), clock });
  return rig;
}

async function runUpdate(
  rig: DeltaRig,
  api: Parameters<typeof createFetchEffects>[1],
  id: string,
  { signal = new AbortController().signal, tx = 'tx1', expectedSha256 }: UpdateOptions = {},
): Promise<{ directory: string; transaction: Transaction }> {
  const { name: app, version } = parseArtifactName(id);
  let transaction: Transaction = {
    id: tx,
    app,
    version,
    contentId: id,
    source: { kind: 'content' },
    commandDigest: 'c',
    state: 'planned',
    saves: 0,
    resumes: 0,
    deferrals: 0,
    startedAtMs: 0,
    notes: [],
    bytesFetched: 0,
    closed: false,
    ...(expectedSha256 === undefined ? {} : { expectedSha256 }),
  };
  const effects = createFetchEffects(rig.context, api);
  for (const state of STATES) {
    const next: UpdateState = state;
    transaction = { ...transaction, state: next };
    const record = (facts: Partial<Transaction>): void => {
      transaction = { ...transaction, ...facts };
    };
    const effect = { transaction, signal, record };
    const { digest = '' } = transaction;
    const { learnt } = await (state === 'staged'
      ? effects.staged({ ...effect, transaction: { ...transaction, digest } })
      : effects[state](effect));
    transaction = { ...transaction, ...learnt };
  }
  const directory = versionDirectory(rig.layout, app, { version, digest: transaction.digest ?? '' });
  return { directory, transaction };
}

function serve(rig: DeltaRig, request: http.IncomingMessage, response: http.ServerResponse): void {
  const url = new URL(request.url ?? '', 'http://x');
  const item = rig.items.get(url.searchParams.get('id') ?? '');
  if (item === undefined) {
    response.writeHead(404).end();
    return;
  }
  if (url.searchParams.get('info') === 'true') {
    response.end(`application/gzip,${item.bytes.length},${item.updated},${item.meta}`);
    return;
  }
  const range = rig.hasRanges ? request.headers.range : undefined;
  const match = /^bytes=(\d*)-(\d*)$/.exec(range ?? '');
  const total = item.bytes.length;
  const start = match === null ? 0 : match[1] === '' ? total - Number(match[2]) : Number(match[1]);
  const end =
    match === null || match[2] === '' || match[1] === '' ? total : Math.min(total, Number(match[2]) + 1);
  const body = item.bytes.subarray(start, end);
  const cut = rig.cut(rig.served);
  const sent = cut === undefined ? body : body.subarray(0, cut);
  rig.served.push({ range, sentBytes: sent.length });
  response.writeHead(match === null ? 200 : 206, {
    'content-length': body.length,
    ...(match === null ? {} : { 'content-range': `bytes ${start}-${end - 1}/${total}` }),
  });
  if (sent.length === body.length) response.end(sent);
  else response.write(sent, () => response.destroy());
}

/** Path, mode and digest of everything below `directory`. */
export function listing(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(directory, name);
    const stat = lstatSync(path);
    const mode = (stat.mode & 0o777).toString(8);
    if (stat.isSymbolicLink()) found[name] = `-> ${readlinkSync(path)}`;
    else if (stat.isDirectory()) found[name] = `${mode} directory`;
    else found[name] = `${mode} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
  }
  return found;
}
