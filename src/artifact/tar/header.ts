/**
 * One 512-byte header block -> what it says. node-tar's Header does the decoding; in front of it stand the checks that
 * it lacks: numbers with rubbish behind them, names that are not UTF-8, sizes that contradict each other.
 */
import { Header } from 'tar';
import { entryFault, formatFault } from '../faults.ts';
import { Adjustments } from './adjustments.ts';
import { decodeName, type EntryType } from './entries.ts';
import { type Extension, sparseFault, toPax } from './extension.ts';

export const BLOCK_BYTES = 512;

/** The extension headers: pax for one entry, pax for all, GNU long name, GNU long link target. */
export type ExtensionType = 'x' | 'g' | 'L' | 'K';
/** The name of the archive, as `tar --label` puts it in front: nothing to unpack. */
type LabelType = 'V';

export interface DecodedHeader {
  kind: EntryType | ExtensionType | LabelType;
  /** As stored. */
  name: string;
  mode: number;
  sizeBytes: number;
  /** 0 to LATEST_MTIME_S. */
  mtimeS: number;
  target: string;
}

const KINDS: Readonly<Record<string, DecodedHeader['kind']>> = {
  '0': 'file',
  '\0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
  // High-performance files of old systems, to be read as plain ones (POSIX ustar, typeflag 7).
  '7': 'file',
  // GNU's incremental archives: a directory with the list of what was in it.
  D: 'directory',
  x: 'x',
  g: 'g',
  L: 'L',
  K: 'K',
  V: 'V',
};

const REFUSED_KINDS: Readonly<Record<string, string>> = {
  '3': 'a character device',
  '4': 'a block device',
  '6': 'a FIFO',
  M: 'the continuation of another volume',
  N: 'an old GNU long name',
};

/**
 * 2446-05-10: the last second that ext4 knows. Later ones are not valid, and would wrap around where seconds have 32
 * bits.
 */
const LATEST_MTIME_S = 0x3_7fff_ffff;

/** What the size field of ustar holds at most; beyond it pax headers decide. */
const LARGEST_OCTAL_SIZE = 0o77777777777;

export function isZeroBlock(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

/** Decodes `block`, whose entry starts at byte `offset` of the tar stream. Throws ARTIFACT_FORMAT or ARTIFACT_ENTRY. */
export function decodeHeader(
  block: Buffer,
  offset: number,
  extension: Extension,
  adjustments: Adjustments = new Adjustments(),
): DecodedHeader {
  const shown = extension.path ?? text(block, 0, 100).replace(/\ufffd/g, '?');
  checkChecksum(block, offset);
  const typeFlag = String.fromCharCode(block[156] ?? 0);
  const kind = kindOf(typeFlag, shown);
  const field = (at: number, length: number): string =>
    decodeName(untilNul(block.subarray(at, at + length)), shown, adjustments);
  const [ownName, ownTarget] = [withPrefix(block, field), field(157, 100)];
  const sizeBytes = sizeOf(block, extension, shown);
  const header = readHeader(block, extension, shown);
  if (!header.cksumValid)
    throw formatFault(`a header with a wrong checksum at byte ${offset}`, 'a tar header');
  const name = extension.path ?? ownName;
  const isDirectory = isOldDirectory(block, typeFlag);
  if (isDirectory && extension.path !== undefined) {
    throw entryFault(name, "a header that ends in '/' under another name", 'one name');
  }
  const decoded: DecodedHeader = {
    kind: isDirectory ? 'directory' : kind,
    name,
    mode: header.mode ?? 0,
    sizeBytes,
    mtimeS: anyTime(extension.mtimeS ?? ownTime(block, header)),
    target: extension.target ?? ownTarget,
  };
  const hasBody = decoded.kind === 'file' || isExtensionType(decoded.kind) || typeFlag === 'D';
  if (!hasBody && decoded.sizeBytes !== 0) {
    const found = `a ${decoded.kind} with ${decoded.sizeBytes} bytes of content`;
    throw entryFault(decoded.name, found, 'none; pack with another tar');
  }
  return decoded;
}

/**
 * Tar of Unix V7 had no other directories. Under type '0', or by a name from an extension, Python sees a file where GNU
 * tar sees a directory: such a one stays a file here, and is refused for its name.
 */
function isOldDirectory(block: Buffer, typeFlag: string): boolean {
  return typeFlag === '\0' && text(block, 0, 100).endsWith('/');
}

export function isExtensionType(kind: DecodedHeader['kind']): kind is ExtensionType {
  return kind.length === 1 && kind !== 'V';
}

/** What no Date holds is far away, in the direction of its sign. */
function ownTime(block: Buffer, { mtime }: Header): number {
  const ms = mtime?.getTime() ?? 0;
  if (!Number.isNaN(ms)) return ms / 1000;
  return block[136] === 0xff ? 0 : LATEST_MTIME_S;
}

/** A time that exists. */
function anyTime(seconds: number): number {
  if (Number.isNaN(seconds)) return 0;
  return Math.min(Math.max(0, seconds), LATEST_MTIME_S);
}

function kindOf(typeFlag: string, shown: string): DecodedHeader['kind'] {
  const kind = KINDS[typeFlag];
  if (kind !== undefined) return kind;
  if (typeFlag === 'S') throw sparseFault(shown);
  const found = REFUSED_KINDS[typeFlag] ?? `an entry of unknown type ${JSON.stringify(typeFlag)}`;
  throw entryFault(shown, found, 'a file, directory or link; leave it out, and make it in install.sh');
}

function readHeader(block: Buffer, extension: Extension, shown: string): Header {
  try {
    return new Header(block, 0, toPax(extension));
  } catch (error) {
    throw entryFault(shown, `a header that cannot be read (${String(error)})`, 'a tar header');
  }
}

/** The eight bytes must be octal digits: a parser that stops at the first other byte would accept anything. */
function checkChecksum(block: Buffer, offset: number): void {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK_BYTES; at++) sum += at >= 148 && at < 156 ? 0 : (block[at] ?? 0);
  const field = text(block, 148, 8).trim();
  if (/^[0-7]{1,8}$/.test(field) && Number.parseInt(field, 8) === sum) return;
  throw formatFault(`no tar header at byte ${offset} (checksum does not fit)`, 'one');
}

interface NumberField {
  at: number;
  length: number;
  what: string;
}

const MODE_FIELD: NumberField = { at: 100, length: 8, what: 'mode' };
const SIZE_FIELD: NumberField = { at: 124, length: 12, what: 'size' };

/** Octal, or base 256 if the first bit is set; never negative, never anything behind the digits. */
function unsignedField(block: Buffer, { at, length, what }: NumberField, shown: string): number {
  const first = block[at] ?? 0;
  if (first === 0x80) {
    let value = 0;
    for (let i = at + 1; i < at + length; i++) value = value * 256 + (block[i] ?? 0);
    if (Number.isSafeInteger(value)) return value;
  } else if (first < 0x80) {
    const field = block.toString('latin1', at, at + length);
    const digits = /^ *([0-7]+)[ \0]*$/.exec(field)?.[1];
    if (digits !== undefined) return Number.parseInt(digits, 8);
  }
  const found = first === 0xff ? `a negative ${what}` : `a ${what} that is no number`;
  throw entryFault(shown, found, 'an octal number');
}

function sizeOf(block: Buffer, extension: Extension, shown: string): number {
  if (!isBlank(block, MODE_FIELD)) unsignedField(block, MODE_FIELD, shown);
  // GNU tar leaves that of a label blank.
  const isLabel = block[156] === 0x56 && isBlank(block, SIZE_FIELD);
  const stored = isLabel ? 0 : unsignedField(block, SIZE_FIELD, shown);
  const extended = extension.sizeBytes;
  if (extended === undefined || extended === stored) return stored;
  if (extended > LARGEST_OCTAL_SIZE) return extended;
  const found = `size ${stored} in its header and ${extended} in its pax header`;
  throw entryFault(shown, found, 'the same in both');
}

/** Some say no mode: none of its bits then. */
function isBlank(block: Buffer, { at, length }: NumberField): boolean {
  return block.subarray(at, at + length).every((byte) => byte === 0 || byte === 0x20);
}

/** Only ustar proper has a name prefix; GNU's own format keeps other things there. Times may stand at its end. */
function withPrefix(block: Buffer, field: (at: number, length: number) => string): string {
  const name = field(0, 100);
  if (block.toString('latin1', 257, 265) !== 'ustar\x0000') return name;
  const prefix = field(345, block[475] === 0 ? 130 : 155);
  return prefix === '' ? name : `${prefix}/${name}`;
}

function untilNul(bytes: Buffer): Buffer {
  const nul = bytes.indexOf(0);
  return nul === -1 ? bytes : bytes.subarray(0, nul);
}

function text(block: Buffer, at: number, length: number): string {
  return untilNul(block.subarray(at, at + length)).toString('utf8');
}
