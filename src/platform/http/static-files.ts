/**
 * Files of a web page that are part of the program: compressed, identified by their content, and sent with headers
 * that limit what a page may do.
 */

import { Readable } from 'node:stream';
import { gunzipSync } from 'node:zlib';
import { type Exchange, header, type Reply, requireMethod } from './exchange.ts';

interface StaticFile {
  readonly type: string;
  /** The entity tag of the content, quoted. */
  readonly etag: string;
  /** The gzip data in base64, as it is stored in the program. */
  readonly gzip: string;
}

/** Path without its first slash -> file. */
export type StaticFiles = Readonly<Record<string, StaticFile>>;

/**
 * Nothing is loaded from elsewhere, nothing runs except our own files, text cannot become a script, and no other page
 * may show this one in a frame.
 */
const SAFE: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** The answer to a request for one of the files; `undefined` where none has this path. */
export function serveStaticFile(files: StaticFiles, exchange: Exchange): Reply | undefined {
  const path = exchange.segments.join('/');
  const file = Object.hasOwn(files, path) ? files[path] : undefined;
  if (file === undefined) return undefined;
  requireMethod(exchange, 'GET', 'HEAD');
  const headers = { ...SAFE, etag: file.etag, 'cache-control': 'no-cache', vary: 'accept-encoding' };
  if (isKnown(header(exchange, 'if-none-match') ?? '', file.etag)) return { status: 304, headers };
  const packed = Buffer.from(file.gzip, 'base64');
  const takesGzip = /\bgzip\b/.test(header(exchange, 'accept-encoding') ?? '');
  const bytes = takesGzip ? packed : gunzipSync(packed);
  return {
    status: 200,
    headers: {
      ...headers,
      'content-type': file.type,
      ...(takesGzip ? { 'content-encoding': 'gzip' } : {}),
    },
    body: { stream: Readable.from([bytes]), sizeBytes: bytes.length },
  };
}

function isKnown(given: string, etag: string): boolean {
  return given.split(',').some((one) => one.trim().replace(/^W\//, '') === etag);
}
