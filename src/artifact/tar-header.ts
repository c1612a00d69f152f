/**
 * One 512-byte header block -> what it says. node-tar's Header does the decoding; in front of it stand the checks that
 * it lacks: numbers with rubbish behind them, names that are not UTF-8, sizes that contradict each other.
 */
import { Header } from 'tar';
import { decodeName, type EntryType } from './entries.ts';
import { entryFault, formatFault } from './faults.ts';
import { type Extension, toPax } from './tar-extension.ts';

export const BLOCK_BYTES = 512;

/** The extension headers: pax for one entry, pax for all, GNU long name, GNU long link target. */
export type ExtensionType = 'x' | 'g' | 'L' | 'K';

export interface DecodedHeader {
  kind: EntryType | ExtensionType;
  /** As stored. */
  name: string;
  mode: number;
  sizeBytes: number;
  mtimeS: number;
  target: string;
}

const KINDS: Readonly<Record<string, EntryType | ExtensionType>> = {
  '0': 'file',
  '\0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
  x: 'x',
  g: 'g',
  L: 'L',
  K: 'K',
};

const REFUSED_KINDS: Readonly<Record<string, string>> = {
  '3': 'a character device',
  '4': 'a block device',
  '6': 'a FIFO',
  '7': 'a contiguous file',
  S: 'a sparse file',
  M: 'the continuation of another volume',
  V: 'a volume label',
  D: 'a GNU directory dump',
  N: 'an old GNU long name',
};

/** What the size field of ustar holds at most; beyond it pax headers have the say. */
const LARGEST_OCTAL_SIZE = 0o77777777777;

export function isZeroBlock(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

/** Decodes `block`, whose entry starts at byte `offset` of the tar stream. Throws ARTIFACT_FORMAT or ARTIFACT_ENTRY. */
export function decodeHeader(block: Buffer, offset: number, extension: Extension): DecodedHeader {
  const shown = extension.path ?? text(block, 0, 100).replace(/\ufffd/g, '?');
  checkChecksum(block, offset);
  const typeFlag = String.fromCharCode(block[156] ?? 0);
  const kind = kindOf(typeFlag, shown);
  for (const [at, length] of [[0, 100], [157, 100], ...prefixField(block)] as const) {
    decodeName(untilNul(block.subarray(at, at + length)), shown);
  }
  const sizeBytes = sizeOf(block, extension, shown);
  const header = readHeader(block, extension, shown);
  if (!header.cksumValid)
    throw formatFault(`a header with a wrong checksum at byte ${offset}`, 'a tar header');
  // Header puts the ustar prefix in front of a pax path, and the short target in place of a pax linkpath.
  const name = extension.path ?? header.path ?? '';
  const isDirectory = isOldDirectory(block, typeFlag);
  if (isDirectory && extension.path !== undefined) {
    throw entryFault(name, "a header that ends in '/' under another name", 'one name');
  }
  const decoded: DecodedHeader = {
    kind: isDirectory ? 'directory' : kind,
    name,
    mode: header.mode ?? 0,
    sizeBytes,
    mtimeS: extension.mtimeS ?? Math.max(0, (header.mtime?.getTime() ?? 0) / 1000),
    target: extension.target ?? header.linkpath ?? '',
  };
  const hasBody = decoded.kind === 'file' || decoded.kind.length === 1;
  if (!hasBody && decoded.sizeBytes !== 0) {
    throw entryFault(decoded.name, `a ${decoded.kind} with ${decoded.sizeBytes} bytes of content`, 'none');
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

function kindOf(typeFlag: string, shown: string): EntryType | ExtensionType {
  const kind = KINDS[typeFlag];
  if (kind !== undefined) return kind;
  const found = REFUSED_KINDS[typeFlag] ?? `an entry of unknown type ${JSON.stringify(typeFlag)}`;
  throw entryFault(shown, found, 'a file, directory or link');
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

/** Octal, or base 256 if the first bit is set; never negative, never anything behind the digits. */
function unsignedField(block: Buffer, at: number, length: number, what: string, shown: string): number {
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
  unsignedField(block, 100, 8, 'mode', shown);
  const stored = unsignedField(block, 124, 12, 'size', shown);
  const extended = extension.sizeBytes;
  if (extended === undefined || extended === stored) return stored;
  if (extended > LARGEST_OCTAL_SIZE) return extended;
  const found = `size ${stored} in its header and ${extended} in its pax header`;
  throw entryFault(shown, found, 'the same in both');
}

/** Only ustar proper has a name prefix; GNU's own format keeps other things there. */
function prefixField(block: Buffer): readonly (readonly [number, number])[] {
  return block.toString('latin1', 257, 265) === 'ustar\x0000' ? [[345, 155]] : [];
}

function untilNul(bytes: Buffer): Buffer {
  const nul = bytes.indexOf(0);
  return nul === -1 ? bytes : bytes.subarray(0, nul);
}

function text(block: Buffer, at: number, length: number): string {
  return untilNul(block.subarray(at, at + length)).toString('utf8');
}
