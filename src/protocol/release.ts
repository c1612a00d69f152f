/** The release area of packages (one-platform.md §4.12): AREA/latest.lnk is one line with the URL of the newest package. */
import { join } from 'node:path';
import { GweError } from '../base/errors.ts';
import { renameDurable } from '../base/fs.ts';
import { openPartialFile, removePartialFile } from './partial-file.ts';
import type { Transport } from './transport-types.ts';

interface ReleaseOptions {
  /** `https://HOST/PATH`: areas are directories below it. */
  releaseUrl: string;
  area: string;
  /** Where the package is put under its own name; one of that name is replaced. */
  directory: string;
  maxBytes: number;
  signal: AbortSignal;
  /** A connection to the host of `baseUrl`. Called again when the link leads to another host. */
  connect(baseUrl: string): Transport;
  onProgress?(haveBytes: number, sizeBytes: number | undefined): void;
}

const LONGEST_LINK_BYTES = 4096;
const AREA = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;
const PACKAGE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}$/;

/**
 * Fetches the newest package of an area and returns its path. Throws USAGE_BAD_VALUE for an area that is no name,
 * DOWNLOAD_NOT_FOUND, DOWNLOAD_REFUSED, DOWNLOAD_INCOMPLETE, DOWNLOAD_TOO_LARGE, PROTOCOL_*, STORE_*.
 */
export async function fetchLatest(options: ReleaseOptions): Promise<string> {
  const link = await readLink(options);
  // PACKAGE_NAME has no letter that a URL would have to encode.
  const name = link.pathname.split('/').at(-1) ?? '';
  if (!PACKAGE_NAME.test(name)) {
    throw garbage(`the package is called ${JSON.stringify(name.slice(0, 100))}, expected a file name`);
  }
  const path = join(options.directory, name);
  const partial = join(options.directory, `.${name}.partial`);
  try {
    await fetchInto(partial, link, options);
    renameDurable(partial, path);
  } finally {
    removePartialFile(partial);
  }
  return path;
}

async function readLink(options: ReleaseOptions): Promise<URL> {
  const { releaseUrl, area, signal } = options;
  if (!AREA.test(area)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot download from area '${area.slice(0, 70)}': expected a name such as gmq-master or baseline-dev`,
    );
  }
  const url = new URL(`${releaseUrl.replace(/\/+$/, '')}/${area}/latest.lnk`);
  if (url.username !== '' || url.password !== '') {
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use release_url: it holds a user name, expected ${url.protocol}//${url.host}/PATH`,
    );
  }
  const transport = options.connect(url.origin);
  try {
    const path = `${url.pathname}${url.search}`;
    const reply = await transport.request({
      method: 'GET',
      path,
      purpose: 'download',
      maxBytes: LONGEST_LINK_BYTES,
      signal,
    });
    requireFound(reply.status, url);
    const text = reply.body.toString('utf8').trim();
    if (text === '' || !URL.canParse(text, url.href) || /\s/.test(text)) {
      throw garbage(
        `'${shown(url)}' holds ${JSON.stringify(text.slice(0, 60))}, expected one line with a URL`,
      );
    }
    const link = new URL(text, url);
    // A link from https to http would hand the package to whoever sits in between.
    if (link.protocol === url.protocol || link.protocol === 'https:') return link;
    throw garbage(`'${shown(url)}' leads to '${link.protocol}', expected ${url.protocol}`);
  } finally {
    transport.close();
  }
}

async function fetchInto(partial: string, link: URL, options: ReleaseOptions): Promise<void> {
  const transport = options.connect(link.origin);
  try {
    const reply = await transport.stream({
      method: 'GET',
      path: `${link.pathname}${link.search}`,
      purpose: 'download',
      signal: options.signal,
    });
    const length = reply.headers.get('content-length');
    const expected = length === null || !/^\d{1,15}$/.test(length) ? undefined : Number(length);
    if (reply.status !== 200) {
      reply.cancel();
      requireFound(reply.status, link);
    }
    const source = { id: link.href, sizeBytes: expected ?? options.maxBytes, updated: 0 };
    const file = openPartialFile(partial, source);
    try {
      file.restart();
      for await (const chunk of reply.chunks) {
        if (file.sizeBytes + chunk.length > options.maxBytes) throw tooLarge(link, options.maxBytes);
        file.append(chunk);
        options.onProgress?.(file.sizeBytes, expected);
      }
      if (expected !== undefined && file.sizeBytes !== expected)
        throw incomplete(link, file.sizeBytes, expected);
      file.sync();
    } finally {
      reply.cancel();
      file.close();
    }
  } finally {
    transport.close();
  }
}

function requireFound(status: number, url: URL): void {
  if (status === 200) return;
  throw new GweError(
    status === 404 ? 'DOWNLOAD_NOT_FOUND' : 'DOWNLOAD_REFUSED',
    `cannot fetch '${shown(url)}': status ${status}, expected 200; check the area and release_url`,
  );
}

/** Without what may be a secret: a password, or a token in the query. */
function shown(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function garbage(found: string): GweError {
  return new GweError('PROTOCOL_GARBAGE', `cannot use the release area: ${found}`);
}

function tooLarge(link: URL, limit: number): GweError {
  return new GweError('DOWNLOAD_TOO_LARGE', `cannot fetch '${shown(link)}': more than ${limit} bytes`);
}

function incomplete(link: URL, found: number, expected: number): GweError {
  return new GweError(
    'DOWNLOAD_INCOMPLETE',
    `cannot fetch '${shown(link)}': ${found} bytes came, expected ${expected}`,
  );
}
