/** Extension headers: pax records and GNU long names. What they may say, decoded strictly. */
import { Pax } from 'tar';
import { entryFault, formatFault } from '../faults.ts';
import type { Adjustments } from './adjustments.ts';
import { decodeName } from './entries.ts';

/** What extension headers say about the entry behind them. */
export interface Extension {
  path?: string;
  target?: string;
  sizeBytes?: number;
  mtimeS?: number;
}

interface PaxRecord {
  key: string;
  value: Buffer;
}

/**
 * The records of a pax header. They must cover the body exactly: node-tar skips what it cannot read, GNU tar stops
 * there, and an archive that different readers read differently is not to be trusted.
 */
function* paxRecords(body: Buffer, shown: string): Generator<PaxRecord> {
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = space === -1 || space - at > 6 ? '' : body.toString('latin1', at, space);
    const end = at + Number(digits);
    const equals = body.indexOf(0x3d, space);
    if (
      !/^[1-9][0-9]*$/.test(digits) ||
      end > body.length ||
      body[end - 1] !== 0x0a ||
      equals <= space + 1 ||
      equals >= end
    ) {
      throw entryFault(shown, `a malformed pax record at byte ${at}`, 'LENGTH KEY=VALUE lines');
    }
    yield { key: body.toString('latin1', space + 1, equals), value: body.subarray(equals + 1, end - 1) };
    at = end;
  }
}

/** The keys that say what an entry is; readers take the first or the last of two. */
const TELLING: ReadonlySet<string> = new Set(['path', 'linkpath', 'size', 'mtime']);

/** Four formats, which readers take for a file of other content where they do not know them. */
export function sparseFault(shown: string): Error {
  const expected = 'all of its bytes; pack without --sparse (bsdtar: with --no-read-sparse)';
  return entryFault(shown, 'a sparse file', expected);
}

/** Decodes the body of an 'x' header. `shown` names it in errors. */
export function decodePax(body: Buffer, shown: string, adjustments: Adjustments): Extension {
  const found: Extension = {};
  const seen = new Set<string>();
  for (const { key, value } of paxRecords(body, shown)) {
    if (key.startsWith('GNU.sparse.') || key === 'SUN.holesdata') throw sparseFault(shown);
    if (!TELLING.has(key)) continue;
    if (seen.has(key))
      throw entryFault(shown, `pax key '${key}' twice`, 'every key once; pack with another tar');
    seen.add(key);
    if (key === 'path') found.path = decodeName(value, shown, adjustments);
    if (key === 'linkpath') found.target = decodeName(value, shown, adjustments);
    if (key === 'size') found.sizeBytes = paxSize(value.toString('latin1'), shown);
    if (key === 'mtime') found.mtimeS = Number(value.toString('latin1'));
  }
  return found;
}

function paxSize(text: string, shown: string): number {
  if (/^[0-9]{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw entryFault(shown, `pax size '${text.slice(0, 40)}'`, 'a decimal number of bytes');
}

/** A 'g' header may comment on the archive (git does), not say what every entry is called or how long it is. */
export function checkGlobalPax(body: Buffer, shown: string, adjustments: Adjustments): void {
  const harmful = Object.keys(decodePax(body, shown, adjustments)).filter((key) => key !== 'mtimeS');
  if (harmful.length === 0) return;
  const keys = harmful.map((key) => ({ path: 'path', target: 'linkpath' })[key] ?? 'size').join(', ');
  throw entryFault(shown, `a global pax header that sets ${keys}`, 'these in the headers of single entries');
}

/** The name in a GNU 'L' or 'K' body: everything up to the NULs at its end. */
export function decodeGnuLong(body: Buffer, shown: string, adjustments: Adjustments): string {
  const nul = body.indexOf(0);
  const end = nul === -1 ? body.length : nul;
  if (body.subarray(end).some((byte) => byte !== 0)) {
    throw entryFault(shown, 'a long name with a NUL in it', 'a name');
  }
  if (end === 0) throw entryFault(shown, 'an empty long name', 'a name');
  return decodeName(body.subarray(0, end), shown, adjustments);
}

/** Joins what several extension headers in front of one entry say; they may not say the same thing twice. */
export function mergeExtensions(a: Extension, b: Extension): Extension {
  const twice = Object.keys(a).find((key) => key in b);
  if (twice !== undefined) {
    throw formatFault(`two extension headers that set ${twice} of one entry`, 'one of them');
  }
  return { ...a, ...b };
}

/** As node-tar's Header wants it. */
export function toPax(extension: Extension): Pax {
  return new Pax({
    ...(extension.path === undefined ? {} : { path: extension.path }),
    ...(extension.target === undefined ? {} : { linkpath: extension.target }),
    ...(extension.sizeBytes === undefined ? {} : { size: extension.sizeBytes }),
  });
}
