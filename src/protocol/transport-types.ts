/** The requests and answers of a transport. */
import type { Clock } from '../base/clock.ts';
import type { Environment } from './transport-proxy.ts';
import type { TicketStore, TlsFiles, Validity } from './transport-tls.ts';

export interface TransportSettings extends TlsFiles {
  /** `https://HOST[:PORT]`; plain http only to this machine or with `allowInsecureHttp`. */
  baseUrl: string;
  userAgent: string;
  /** How long no byte may come before a request is given up. */
  timeoutMs: number;
  allowInsecureHttp: boolean;
  /** For the proxy variables. */
  env: Environment;
  /** After which silence within a request TCP asks whether the other side is still there; never without it. */
  probeAfterMs?: number;
  /** Whether the host may not be this machine or on its link: somebody else has named it. */
  refusesLocal?: boolean;
}

export type TrafficPurpose = 'read' | 'write' | 'provision' | 'download' | 'time';

export interface StreamRequest {
  method: 'GET' | 'POST';
  /** From the slash on: `/onep:v1/stack/alias?engine_fetch`. */
  path: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  purpose: TrafficPurpose;
  /** A redirect is an answer, for who knows how to tell what was asked for from a forgery. */
  mayBeElsewhere?: boolean;
  /** Instead of the settings' idle time once the connection is there, for a long poll. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Ends it as long as it has not been sent. */
  setUpSignal?: AbortSignal;
}

export interface TransportRequest extends StreamRequest {
  /** Longest body taken; a longer one is PROTOCOL_TOO_LARGE, and cut where it comes with an error. */
  maxBytes: number;
  /**
   * Takes the body of an answer that is a success while it comes; the response's own is empty then. False: too large.
   */
  take?(chunk: Buffer): boolean;
  /** What `take` keeps at most. */
  takesBytes?: number;
}

export interface ResponseHeaders {
  /** The value by name, whatever its case; null if there is none. */
  get(name: string): string | null;
}

export interface TransportResponse {
  status: number;
  headers: ResponseHeaders;
  body: Buffer;
  /** The page of an error was longer than `maxBytes`. */
  isCut?: boolean;
}

export interface StreamResponse {
  status: number;
  headers: ResponseHeaders;
  /** Must be read to its end, or `cancel` called: the connection is open until then. */
  chunks: AsyncIterable<Buffer>;
  cancel(): void;
}

/** What one request cost: its bytes on TCP, with the TLS and proxy handshakes of a connection made for it. */
export interface Traffic {
  purpose: TrafficPurpose;
  rxBytes: number;
  txBytes: number;
  /** From the slash on, as asked for. */
  path: string;
  /** Absent when no answer came. */
  status?: number;
  /** Whether the answer was read to its end. */
  isWhole: boolean;
  /** False for what has come so far of a long answer: the rest is still to be told. */
  isLast: boolean;
  /** The address of this end of the connection, if there was one: it identifies the network interface. */
  localAddress?: string;
}

/**
 * Errors of both calls: PROTOCOL_OFFLINE (no whole answer; says how far it got and why), PROTOCOL_GARBAGE (not HTTP),
 * PROTOCOL_REFUSED (a redirect), PROTOCOL_TOO_LARGE, CANCELLED. Any other status is a response.
 */
export interface Transport {
  /** A whole body in memory. It must be there within ten times the idle time, so that no trickle holds us forever. */
  request(request: TransportRequest): Promise<TransportResponse>;
  /** A stream that drips is PROTOCOL_OFFLINE with `isSlow` in its facts. */
  stream(request: StreamRequest): Promise<StreamResponse>;
  /** Ends every open request with CANCELLED, and the connection that waits for another. */
  close(): void;
}

export interface TransportOptions {
  clock: Clock;
  onTraffic?(traffic: Traffic): void;
  /**
   * The `Date` of each answer over TLS, as it is, and when the server's certificate is valid; over plain HTTP it is
   * not trusted.
   */
  onDate?(text: string, validity: Validity | undefined): void;
  /** Where TLS tickets outlive this object; kept in memory without it. */
  tickets?: TicketStore;
}
