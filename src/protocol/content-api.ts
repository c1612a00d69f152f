/** The content area as a device sees it (one-platform.md §2.3): list, info, and opening an item or a range of it. */
import type { Clock } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { isSuccess, statusError } from './answer.ts';
import { parseContentInfo, parseContentList } from './codec.ts';
import {
  type ByteRange,
  type ContentRange,
  matchRange,
  parseContentRange,
  renderRange,
} from './content-range.ts';
import type { Digest } from './digest.ts';
import type { StreamResponse, Transport, TransportResponse } from './transport-types.ts';
import type { Pace } from './wire/pace.ts';

export interface ContentInfo {
  type: string;
  sizeBytes: number;
  /** Unix seconds of the last upload. */
  updated: number;
  /** Free text. */
  meta: string;
  /** From a `SHA256:<hex>` or `SHA1:<hex>` in the meta. */
  digest?: Digest;
}

/** What the content calls need. */
export interface ContentApi {
  transport: Transport;
  cik(): string | undefined;
  product: ContentProduct;
  clock: Clock;
  /** Whether content may be fetched where the platform sends to; `isPinned`: its digest is known. Never without it. */
  mayBeElsewhere?(isPinned: boolean): boolean;
  /** Largest answer that is not content. */
  maxReplyBytes: number;
  /** How fast content may come. */
  pace?: Pace;
}

/** What is taken of one answer, and until when. */
interface ReplyLimits {
  maxBytes: number;
  signal?: AbortSignal | undefined;
}

/** Whose content: vendor and model in the query (One Platform, Murano), or the key alone says it (Device2). */
interface ContentProduct {
  vendor: string;
  model: string;
  style: 'triple' | 'id';
}

export function createContentApi(
  parts: Omit<ContentApi, 'maxReplyBytes'> & { maxReplyBytes?: number },
): ContentApi {
  return { maxReplyBytes: MAX_LIST_BYTES, ...parts };
}

const MAX_LIST_BYTES = 1024 * 1024;
/** One line of the meta that an operator typed. */
const MAX_INFO_BYTES = 16 * 1024;

/** The ids this device may fetch. Throws as `statusError` and the transport say. */
export async function listContent(api: ContentApi, signal?: AbortSignal): Promise<string[]> {
  const doing = 'list content';
  const response = await get(api, doing, [], { maxBytes: api.maxReplyBytes, signal });
  if (!isSuccess(response.status)) throw statusError(doing, response, api.clock.wallMs());
  return parseContentList(response.body.toString('utf8'));
}

/** The info of one item, or `undefined` if no item has that id. PROTOCOL_GARBAGE if they cannot be read. */
export async function contentInfo(
  api: ContentApi,
  id: string,
  signal?: AbortSignal,
): Promise<ContentInfo | undefined> {
  const doing = `ask for content '${id}'`;
  const query = [
    ['id', id],
    ['info', 'true'],
  ] as const;
  const maxBytes = Math.min(MAX_INFO_BYTES, api.maxReplyBytes);
  const response = await get(api, doing, query, { maxBytes, signal });
  if (response.status === 404 || response.status === 204) return undefined;
  if (!isSuccess(response.status)) throw statusError(doing, response, api.clock.wallMs());
  const info = parseContentInfo(response.body.toString('utf8'));
  if (info === undefined) {
    throw new GweError(
      'PROTOCOL_GARBAGE',
      `cannot ${doing}: the answer is not content info, expected TYPE,SIZE,UPDATED,META`,
    );
  }
  const digest = parseMetaDigest(info.meta);
  return {
    type: info.contentType,
    sizeBytes: info.sizeBytes,
    updated: info.updatedAt,
    meta: info.meta,
    ...(digest === undefined ? {} : { digest }),
  };
}

const META_DIGEST =
  /(?:^|[\s;,|])SHA-?(?:256(?::|=|%3A)([0-9a-f]{64})|1(?::|=|%3A)([0-9a-f]{40}))(?![0-9a-f])/i;

/** The digest that an uploader left in the meta text, `SHA256:<hex>` or `SHA1:<hex>`; the first one counts. */
export function parseMetaDigest(meta: string): Digest | undefined {
  const match = META_DIGEST.exec(meta);
  if (match?.[1] !== undefined) return { algorithm: 'sha256', hex: match[1].toLowerCase() };
  if (match?.[2] !== undefined) return { algorithm: 'sha1', hex: match[2].toLowerCase() };
  return undefined;
}

const META_MANIFEST_DIGEST = /(?:^|[\s;,|])MANIFEST-SHA256:([0-9a-f]{64})(?![0-9a-f])/i;

/**
 * The digest of the manifest of an indexed tarball, `MANIFEST-SHA256:<hex>`, that an uploader left in the meta text.
 */
export function parseManifestDigest(meta: string): string | undefined {
  return META_MANIFEST_DIGEST.exec(meta)?.[1]?.toLowerCase();
}

/**
 * Opens item `id`, from `startByte` on. Any status comes back; the caller must read or cancel it.
 * Throws PROTOCOL_UNAUTHORIZED without a key, else as the transport says.
 */
export function openContent(
  api: ContentApi,
  id: string,
  range: ByteRange | undefined,
  { signal, isPinned = false }: { signal?: AbortSignal | undefined; isPinned?: boolean | undefined } = {},
): Promise<StreamResponse> {
  return api.transport.stream({
    method: 'GET',
    path: contentPath(api.product, [['id', id]]),
    headers: {
      'X-Exosite-CIK': requireKey(api, `fetch content '${id}'`),
      ...(range === undefined ? {} : { Range: renderRange(range) }),
    },
    purpose: 'download',
    ...(api.mayBeElsewhere?.(isPinned) === true ? { mayBeElsewhere: true } : {}),
    ...(signal === undefined ? {} : { signal }),
  });
}

/**
 * One range of item `id` in memory, of at most `maxBytes`. A server that sends the whole item instead is taken at its
 * word only if the range can be cut from `maxBytes`. Throws DOWNLOAD_NOT_FOUND, PROTOCOL_GARBAGE for another range.
 */
export async function readContentRange(
  api: ContentApi,
  id: string,
  range: ByteRange,
  { maxBytes, signal }: ReplyLimits,
): Promise<{ bytes: Buffer; range: ContentRange }> {
  const doing = `fetch ${renderRange(range)} of content '${id}'`;
  const response = await api.transport.request({
    method: 'GET',
    path: contentPath(api.product, [['id', id]]),
    headers: { 'X-Exosite-CIK': requireKey(api, doing), Range: renderRange(range) },
    purpose: 'download',
    maxBytes,
    ...(signal === undefined ? {} : { signal }),
  });
  if (response.status === 404) throw new GweError('DOWNLOAD_NOT_FOUND', `cannot ${doing}: no such content`);
  if (response.status !== 200 && response.status !== 206)
    throw statusError(doing, response, api.clock.wallMs());
  const got = parseContentRange(response.headers.get('content-range'));
  if (got === undefined) return cutRange(response.body, range, doing, response.status);
  if (!matchRange(range, got) || got.end - got.start + 1 !== response.body.length) {
    throw new GweError('PROTOCOL_GARBAGE', `cannot ${doing}: got bytes ${got.start}-${got.end} instead`);
  }
  return { bytes: response.body, range: got };
}

function cutRange(
  body: Buffer,
  range: ByteRange,
  doing: string,
  status: number,
): { bytes: Buffer; range: ContentRange } {
  const total = body.length;
  const start = 'suffix' in range ? Math.max(0, total - range.suffix) : range.start;
  const end = 'suffix' in range ? total - 1 : Math.min(range.end ?? total - 1, total - 1);
  if (status === 206 || start > end) {
    throw new GweError('PROTOCOL_GARBAGE', `cannot ${doing}: the answer does not say which bytes it holds`);
  }
  return { bytes: body.subarray(start, end + 1), range: { start, end, total } };
}

async function get(
  api: ContentApi,
  doing: string,
  query: readonly (readonly [string, string])[],
  { maxBytes, signal }: ReplyLimits,
): Promise<TransportResponse> {
  return api.transport.request({
    method: 'GET',
    path: contentPath(api.product, query),
    headers: { 'X-Exosite-CIK': requireKey(api, doing), 'Cache-Control': 'no-cache' },
    purpose: 'download',
    maxBytes,
    ...(signal === undefined ? {} : { signal }),
  });
}

function contentPath(product: ContentProduct, query: readonly (readonly [string, string])[]): string {
  const whose = [
    ['vendor', product.vendor],
    ['model', product.model],
  ] as const;
  const text = [...(product.style === 'id' ? [] : whose), ...query]
    .map(([name, value]) => `${name}=${encodeURIComponent(value.replace(/\p{Surrogate}/gu, '\uFFFD'))}`)
    .join('&');
  return `/provision/download${text === '' ? '' : `?${text}`}`;
}

function requireKey(api: ContentApi, doing: string): string {
  const key = api.cik();
  if (key !== undefined && key !== '') return key;
  throw new GweError(
    'PROTOCOL_UNAUTHORIZED',
    `cannot ${doing}: this device has no key yet, it must activate first`,
  );
}
