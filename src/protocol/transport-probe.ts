/** A look at the platform's TLS, made just as a request makes it, but without a request. */
import { TLSSocket } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { faultWords, offline } from './transport-fault.ts';
import { selectProxy } from './transport-proxy.ts';
import { loadTls, proxyTls } from './transport-tls.ts';
import type { TransportSettings } from './transport-types.ts';
import { createWire, IdleTimeout } from './transport-wire.ts';
import { ProxyRefusal } from './wire/tunnel.ts';

export interface TlsFacts {
  /** `TLSv1.3`. */
  protocol: string;
  subject: string;
  issuer: string;
  /** Unix milliseconds. */
  validFromMs: number;
  validToMs: number;
}

/**
 * Connects to the platform and returns what it shows; `undefined` for plain http, once connected. The certificate has been checked as
 * for every request. Throws PROTOCOL_OFFLINE in plain words, CONFIG_INVALID for files or a proxy that cannot be used.
 */
export async function probeTls(settings: TransportSettings, clock: Clock): Promise<TlsFacts | undefined> {
  const target = new URL(settings.baseUrl);
  const proxy = selectProxy(target, settings.env);
  const wire = createWire({
    target,
    proxy,
    proxyContext: proxyTls(proxy, settings),
    secureContext: target.protocol === 'https:' ? loadTls(settings, {}).secureContext : undefined,
    // A resumed session shows no certificate.
    ticket: () => ({ keep: () => undefined }),
    setUpIdleMs: settings.timeoutMs,
    idleMs: settings.timeoutMs,
    probeAfterMs: undefined,
    clock,
  });
  try {
    const socket = await wire.connect();
    return socket instanceof TLSSocket ? readFacts(socket) : undefined;
  } catch (error) {
    const fault = wire.fault ?? error;
    const isTold = fault instanceof ProxyRefusal || fault instanceof IdleTimeout;
    const words = isTold ? fault.message : faultWords(fault, wire.stage, clock.wallMs());
    const cause = isTold ? undefined : fault;
    throw offline(`connect to '${target.origin}'`, words, { proxy, stage: wire.stage, cause });
  } finally {
    wire.fail(new Error('probe done'));
  }
}

function readFacts(socket: TLSSocket): TlsFacts {
  const { subject, issuer, valid_from, valid_to } = socket.getPeerCertificate();
  return {
    protocol: socket.getProtocol() ?? 'TLS',
    subject: nameOf(subject),
    issuer: nameOf(issuer),
    validFromMs: Date.parse(valid_from),
    validToMs: Date.parse(valid_to),
  };
}

/** Certificates are outside text: one short line of it. */
function nameOf(name: Readonly<Record<string, string | string[] | undefined>> | undefined): string {
  const text = [name?.CN ?? name?.O ?? 'nameless'].flat().join(' ');
  return text.replace(/\p{Cc}+/gu, ' ').slice(0, 80);
}
