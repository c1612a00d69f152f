/** The certificates and the TLS settings for the platform, and the session tickets. */
import { createHash } from 'node:crypto';
import * as tls from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { readFileBounded } from '../base/fs.ts';
import type { Environment, ForwardProxy } from './transport-proxy.ts';

const MAX_PEM_BYTES = 1024 * 1024;

export interface TlsFiles {
  /** PEM; these CAs are trusted besides the built-in ones. */
  caFile?: string;
  clientCertFile?: string;
  /** When left out, the certificate's file holds the key as well. */
  clientKeyFile?: string;
}

interface Tls {
  secureContext: tls.SecureContext;
  /** Changes as soon as anything changes by which the platform is trusted, or by which it knows this device. */
  digest: string;
}

/** The TLS settings. Throws CONFIG_INVALID for files that cannot be used. `env` names CAs that the runtime adds. */
export function loadTls(settings: TlsFiles, env: Environment): Tls {
  const { caFile, clientCertFile } = settings;
  // One file may hold both, as many tools make it.
  const clientKeyFile = settings.clientKeyFile ?? clientCertFile;
  if (clientCertFile === undefined && clientKeyFile !== undefined) {
    throw new GweError(
      'CONFIG_INVALID',
      'cannot use the client key: there is no client certificate, expected both (--set-client-cert)',
    );
  }
  const ca = readPem(caFile, 'CA file');
  const cert = readPem(clientCertFile, 'client certificate');
  const key = readPem(clientKeyFile, 'client key');
  if (ca?.includes('-----BEGIN CERTIFICATE-----') === false) {
    throw new GweError('CONFIG_INVALID', `cannot use CA file '${caFile}': no PEM certificate in it`);
  }
  if (key !== undefined && !/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key.toString('latin1'))) {
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use client key '${clientKeyFile}': no PEM private key in it; set the file that holds it (--set-client-key)`,
    );
  }
  const digest = digestOf([ca, cert, key, readExtra(env.NODE_EXTRA_CA_CERTS)]);
  try {
    const secure = tls.createSecureContext({
      minVersion: 'TLSv1.2',
      // A key share of 32 bytes; the runtime's own first choice costs more than 1 KB each way.
      ecdhCurve: 'X25519:P-256:P-384',
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
    if (ca !== undefined) addCertificates(secure, ca);
    return { secureContext: secure, digest };
  } catch (error) {
    const given = [caFile, clientCertFile, clientKeyFile].filter((file) => file !== undefined);
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use the TLS files '${[...new Set(given)].join("', '")}': not valid PEM, or key and certificate do not belong together`,
      { cause: error },
    );
  }
}

/** The TLS settings for an https:// proxy: the same CAs, and never the client certificate. */
export function proxyTls(
  proxy: Pick<ForwardProxy, 'kind'> | undefined,
  { caFile }: TlsFiles,
): tls.SecureContext | undefined {
  if (proxy?.kind !== 'https') return undefined;
  return loadTls(caFile === undefined ? {} : { caFile }, {}).secureContext;
}

/** The built-in CAs are the runtime's. */
function digestOf(files: readonly (Buffer | undefined)[]): string {
  const digests = files.map((file) => (file === undefined ? '-' : sha256(file)));
  return sha256([process.versions.node, ...digests].join(' '));
}

function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The runtime itself skips one that it cannot read. */
function readExtra(path: string | undefined): Buffer | undefined {
  try {
    return path === undefined ? undefined : readFileBounded(path, MAX_PEM_BYTES);
  } catch {
    return undefined;
  }
}

function readPem(path: string | undefined, what: string): Buffer | undefined {
  if (path === undefined) return undefined;
  const pem = readFileBounded(path, MAX_PEM_BYTES);
  if (pem === undefined) throw new GweError('CONFIG_INVALID', `cannot use ${what} '${path}': no such file`);
  return pem;
}

/**
 * Adds to the built-in ones. The option `ca` would put its own in their place, and to name them all again there has
 * each of them parsed again, at three times the cost of all the rest of a context.
 */
function addCertificates(secure: tls.SecureContext, pem: Buffer): void {
  const { context } = secure as { context: { addCACert(pem: Buffer): void } };
  context.addCACert(pem);
}

/** A resumed session checks no certificate: it counts only where a full handshake would still succeed. */
interface KeptTicket {
  ticket: Buffer;
  /** Digest of what the platform was trusted by when its certificate was checked. */
  trust: string;
  /** When that was, and until when it counts; Unix milliseconds. */
  fromMs: number;
  untilMs: number;
}

/** Keeps the newest ticket of the platform, so that the next handshake is a short one. */
export interface TicketStore {
  load(): KeptTicket | undefined;
  save(kept: KeptTicket): void;
}

/** How one connection resumes a session, and keeps the next ticket. */
export interface SessionTicket {
  /** To resume by, if there is one that counts. */
  session?: Buffer;
  /** For each ticket that comes. */
  keep(ticket: Buffer, socket: Pick<tls.TLSSocket, 'isSessionReused' | 'getPeerCertificate'>): void;
}

/**
 * Only the platform's own certificate of the chain is looked at: the others are seen again after this at the
 * latest.
 */
const LONGEST_MS = 7 * 24 * 3600 * 1000;

export function openTicket(store: TicketStore, trust: string, clock: Pick<Clock, 'wallMs'>): SessionTicket {
  const kept = store.load();
  const nowMs = clock.wallMs();
  const isGood = kept?.trust === trust && nowMs >= kept.fromMs && nowMs < kept.untilMs;
  return {
    ...(isGood ? { session: kept.ticket } : {}),
    keep(ticket, socket) {
      // What was not checked again stays valid for as long as before.
      const isResumed = isGood && socket.isSessionReused();
      const [fromMs, untilMs] = isResumed
        ? [kept.fromMs, kept.untilMs]
        : [clock.wallMs(), Math.min(certificateEndMs(socket), clock.wallMs() + LONGEST_MS)];
      store.save({ ticket, trust, fromMs, untilMs });
    },
  };
}

export function memoryTickets(): TicketStore {
  let last: KeptTicket | undefined;
  return {
    load: () => last,
    save(kept) {
      last = kept;
    },
  };
}

/** 0 where it cannot be told. */
function certificateEndMs(socket: Pick<tls.TLSSocket, 'getPeerCertificate'>): number {
  return validityOf(socket)?.untilMs ?? 0;
}

/** When a certificate is valid, Unix milliseconds. */
export interface Validity {
  fromMs: number;
  untilMs: number;
}

export function validityOf(socket: Pick<tls.TLSSocket, 'getPeerCertificate'>): Validity | undefined {
  const { valid_from: from, valid_to: until } = socket.getPeerCertificate() ?? {};
  const [fromMs, untilMs] = [Date.parse(from ?? ''), Date.parse(until ?? '')];
  return Number.isNaN(fromMs) || Number.isNaN(untilMs) ? undefined : { fromMs, untilMs };
}
