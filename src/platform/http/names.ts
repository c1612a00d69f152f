import {
  MAX_ALIAS_BYTES,
  MAX_CONTENT_META_BYTES,
  MAX_CONTENT_TYPE_BYTES,
  MAX_NAME_BYTES,
} from '../bounds.ts';
import { Refusal } from './exchange.ts';

/** Which names from outside are accepted. They are stored as text and never used as paths. */

const CONTROL = /\p{Cc}/u;

/** A product, serial number, vendor or content id: not empty, one line, bounded. Refuses with 400. */
export function checkName(what: string, name: string): string {
  if (name === '') throw new Refusal(400, `cannot use an empty ${what}`);
  // Clients resolve these two in a URL, and would call another path.
  if (name === '.' || name === '..') throw new Refusal(400, `cannot use '${name}' as a ${what}`);
  if (CONTROL.test(name)) throw new Refusal(400, `cannot use this ${what}: it has a control character`);
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new Refusal(400, `cannot use this ${what}: expected at most ${MAX_NAME_BYTES} bytes`);
  }
  return name;
}

export function checkAlias(alias: string): string {
  if (alias === '' || Buffer.byteLength(alias) > MAX_ALIAS_BYTES || CONTROL.test(alias)) {
    throw new Refusal(
      400,
      `cannot use this alias: expected 1 to ${MAX_ALIAS_BYTES} bytes, no control character`,
    );
  }
  return alias;
}

/** Meta has to fit into a field of a CSV line. */
export function checkMeta(meta: string): string {
  if (CONTROL.test(meta) || Buffer.byteLength(meta) > MAX_CONTENT_META_BYTES) {
    throw new Refusal(
      400,
      `cannot use this meta: expected at most ${MAX_CONTENT_META_BYTES} bytes on one line`,
    );
  }
  return meta;
}

/** The type that is sent with a blob: the one given at upload, if it fits into a header and a CSV field. */
export function safeContentType(given: string | undefined): string {
  const fits = given !== undefined && /^[\x20-\x2b\x2d-\x7e]+$/.test(given);
  return fits && given.length <= MAX_CONTENT_TYPE_BYTES ? given : 'application/octet-stream';
}
