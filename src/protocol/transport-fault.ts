/** What went wrong on a connection, in plain words. */
import { describeError, GweError, systemCode } from '../base/errors.ts';
import type { ForwardProxy } from './transport-proxy.ts';

/** How far a connection had got. */
export type WireStage = 'connecting' | 'proxy' | 'tls' | 'waiting' | 'receiving';

const PLAIN_WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the name has no address in DNS',
  EAI_AGAIN: 'DNS does not answer (no network, or no name server)',
  EAI_NODATA: 'the name has no address in DNS',
  ECONNREFUSED: 'connection refused (nothing listens there, or a firewall rejects it)',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'the network is unreachable (is the link up?)',
  ETIMEDOUT: 'no answer to the connection attempt',
  EPIPE: 'the connection was closed while sending',
};

const CERTIFICATE_WORDS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "the server's certificate has expired",
  CERT_NOT_YET_VALID: "the server's certificate is not valid yet",
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'the server shows a self-signed certificate that is not trusted (set a CA file?)',
  SELF_SIGNED_CERT_IN_CHAIN: "the server's chain ends in a root that is not trusted (set a CA file?)",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "no trusted CA vouches for the server's certificate (set a CA file?)",
  UNABLE_TO_GET_ISSUER_CERT: "no trusted CA vouches for the server's certificate (set a CA file?)",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "no trusted CA vouches for the server's certificate (set a CA file?)",
  CERT_REVOKED: "the server's certificate is revoked",
};

const CLOCK_CODES = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

/** One sentence part for `error`; `wallMs` is the gateway's clock, which is often the one at fault for certificates. */
export function faultWords(error: unknown, stage: WireStage, wallMs: number): string {
  const code = errorCode(error);
  const certificate = code === undefined ? undefined : CERTIFICATE_WORDS[code];
  if (code !== undefined && certificate !== undefined) {
    const clock = CLOCK_CODES.has(code)
      ? `; this machine's clock says ${new Date(wallMs).toISOString()}`
      : '';
    return `TLS: ${certificate}${clock} (${code})`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `TLS: the server's certificate is for another name (${describeError(error).slice(0, 200)})`;
  }
  if (code?.startsWith('ERR_SSL_') === true) return `TLS: ${tlsAlert(code)} (${code})`;
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE') return closedWords(stage);
  const words = code === undefined ? undefined : PLAIN_WORDS[code];
  return words === undefined ? describeError(error).slice(0, 200) : `${words} (${code})`;
}

function closedWords(stage: WireStage): string {
  switch (stage) {
    case 'connecting':
    case 'proxy':
      return 'the connection was closed before it was set up';
    case 'tls':
      return 'the connection was closed during the TLS handshake (wrong port, or the server name is not known there)';
    case 'waiting':
      return 'the connection was closed before an answer came';
    case 'receiving':
      return 'the connection was closed in the middle of the answer';
  }
}

function tlsAlert(code: string): string {
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    return 'the other side does not speak TLS';
  }
  return code
    .slice('ERR_SSL_'.length)
    .replace(/^(?:SSL|TLS)V\d+_/, '')
    .replace(/_/g, ' ')
    .toLowerCase();
}

/** The deepest string `code` in a chain of causes; AggregateError (several addresses tried) counts by its first. */
function errorCode(error: unknown): string | undefined {
  if (error instanceof AggregateError && error.errors.length > 0) return errorCode(error.errors[0]);
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return systemCode(error);
}

/** Whether the answer could not be read as HTTP at all. */
export function isNotHttp(error: unknown): boolean {
  return errorCode(error)?.startsWith('HPE_') === true;
}

/** PROTOCOL_OFFLINE for a request that got no whole answer. `what` reads `GET 'https://...'`. */
export function offline(
  what: string,
  words: string,
  { proxy, stage, cause }: { proxy: ForwardProxy | undefined; stage: WireStage; cause?: unknown },
): GweError {
  const via = proxy === undefined ? '' : ` (through proxy ${proxy.label} of ${proxy.variable})`;
  const options = { facts: { stage }, ...(cause === undefined ? {} : { cause: plainCause(cause) }) };
  return new GweError('PROTOCOL_OFFLINE', `cannot ${what}${via}: ${words}`, options);
}

/** Causes are printed behind messages: keep the code, not another library's sentence with our URL in it again. */
function plainCause(cause: unknown): unknown {
  const code = errorCode(cause);
  return code === undefined ? cause : Object.assign(new Error(code), { code });
}
