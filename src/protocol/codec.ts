/**
 * The wire text of the device API: form bodies (one-platform.md §1.2-1.4, §1.6) and the CSV of content lists and info
 * (§2.3). Pure text in, values out; used by the agent, by the embedded platform and by the command line.
 */

export type FormPair = readonly [name: string, value: string];

/** `a=1&b=2`, everything outside `A-Za-z0-9-_.~!*'()` percent-encoded as UTF-8 (a space is `%20`, never `+`). */
export function encodeForm(pairs: Iterable<FormPair>): string {
  return Array.from(pairs, ([name, value]) => `${encodePart(name)}=${encodePart(value)}`).join('&');
}

/** `a&b`: bare names, as a read asks for them. */
export function encodeNames(names: Iterable<string>): string {
  return Array.from(names, encodePart).join('&');
}

/** A lone surrogate cannot be written in UTF-8; it becomes U+FFFD instead of an exception. */
function encodePart(text: string): string {
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\uFFFD'));
}

/**
 * The pairs of a form body in order, repeats kept. Splits on `&`, then on the first `=`; a part without `=` gives an
 * empty value; empty parts are left out. Takes bodies that were never encoded, as old clients send them.
 */
export function decodeForm(text: string): FormPair[] {
  return splitForm(text).map((part) => [part.name, part.value ?? '']);
}

/** As `decodeForm`, but tells `a` (value undefined) from `a=` (empty value). */
export function splitForm(text: string): { name: string; value: string | undefined }[] {
  return text
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const equals = part.indexOf('=');
      return equals === -1
        ? { name: decodePart(part), value: undefined }
        : { name: decodePart(part.slice(0, equals)), value: decodePart(part.slice(equals + 1)) };
    });
}

/**
 * One name or value: `+` and `%xx` decoded as UTF-8, or the text as it is where a `%` sequence is malformed.
 * A part that holds a plain space was not encoded, so its `+` is a plus sign.
 */
export function decodePart(text: string): string {
  const spaced = text.includes(' ') ? text : text.replaceAll('+', ' ');
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return text;
  }
}

/** The bare names of a read's query (`a&b`); a name with a value (`a=1`) counts by its name. */
export function decodeNames(query: string): string[] {
  return splitForm(query).map((part) => part.name);
}

/** What content info says about one item. */
interface ContentInfo {
  contentType: string;
  sizeBytes: number;
  /** Unix seconds of the last upload. */
  updatedAt: number;
  /** Free text; may hold commas. */
  meta: string;
}

/** `image/png,23427,1462500951,Boot splash screen`; with `isProtected` the management form, `,false` behind it. */
export function renderContentInfo(info: ContentInfo, isProtected?: boolean): string {
  const tail = isProtected === undefined ? '' : `,${isProtected}`;
  return `${info.contentType},${info.sizeBytes},${info.updatedAt},${info.meta}${tail}`;
}

const INFO = /^([^,]*),(\d{1,15}),(\d{1,12}),(.*)$/s;

/**
 * The device form of content info, or `undefined` if the text is not one. Everything behind the third comma is meta.
 */
export function parseContentInfo(text: string): ContentInfo | undefined {
  const match = INFO.exec(text.replace(/\r?\n$/, ''));
  if (match === null) return undefined;
  const [, contentType = '', size, updated, meta = ''] = match;
  return { contentType, sizeBytes: Number(size), updatedAt: Number(updated), meta };
}

/** The management form: the last field is the protected flag. The device form is taken as unprotected. */
export function parseManagedContentInfo(text: string): (ContentInfo & { isProtected: boolean }) | undefined {
  const info = parseContentInfo(text);
  if (info === undefined) return undefined;
  const flag = /^(?:(.*),)?(true|false)$/s.exec(info.meta);
  return flag === null
    ? { ...info, isProtected: false }
    : { ...info, meta: flag[1] ?? '', isProtected: flag[2] === 'true' };
}

/** Content ids, one a line, CRLF between them and none at the end. */
export function renderContentList(ids: readonly string[]): string {
  return ids.join('\r\n');
}

/** The ids of a content list, CRLF or LF between them. */
export function parseContentList(text: string): string[] {
  return text.split(/\r?\n/).filter((line) => line !== '');
}
