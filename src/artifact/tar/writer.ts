/** One entry -> its canonical tar blocks: the only header gwe ever writes for a given path, mode, type, size and target. */
import { Header } from 'tar';
import { CANONICAL_MTIME_S } from './entries.ts';
import { BLOCK_BYTES } from './header.ts';

export interface EntryHeader {
  /** Relative, without trailing slash. */
  path: string;
  type: 'file' | 'directory' | 'symlink';
  /** Permission bits. */
  mode: number;
  /** 0 for all but files. */
  sizeBytes: number;
  /** Where a symlink leads. */
  target: string;
}

const TAR_TYPES = { file: 'File', directory: 'Directory', symlink: 'SymbolicLink' } as const;

/** Half a character, which UTF-8 does not have. */
const LONE_SURROGATE = /\p{Cs}/u;

/** What every reader sees alike, byte for character. */
const PLAIN = /^[\x20-\x7e]*$/;
/** Ten octal digits and a space behind them. */
const LARGEST_PLAIN_BYTES = 0o7777777777;

/** The two zero blocks behind the last entry. */
export const END_OF_ARCHIVE_BYTES: number = 2 * BLOCK_BYTES;

/**
 * The header blocks of an entry: ustar with the name as raw UTF-8, and GNU long-name entries in front where ustar has
 * no room. Every tar reads these; busybox does not read pax.
 */
export function encodeEntryHeader(entry: EntryHeader): Buffer {
  const path = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  const blocks: Buffer[] = [];
  const fits = encodeBlock({ ...entry, path });
  const pathFits = new Header(fits).path === path;
  const targetFits = Buffer.byteLength(entry.target) <= 100;
  if (!targetFits) blocks.push(...longEntry('NextFileHasLongLinkpath', entry.target));
  if (!pathFits) blocks.push(...longEntry('NextFileHasLongPath', path));
  const target = targetFits ? entry.target : placeholder(entry.target);
  blocks.push(encodeBlock({ ...entry, path: pathFits ? path : placeholder(path), target }));
  return Buffer.concat(blocks);
}

/** `encodeEntryHeader` for one entry after the other, nearly all of them in the same memory. */
interface HeaderEncoder {
  /** Good until the next one is asked for. */
  encode(entry: EntryHeader): Buffer;
}

export function createHeaderEncoder(): HeaderEncoder {
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  const templates = new Map<EntryHeader['type'], Buffer>();
  return {
    encode(entry) {
      const { type, mode, sizeBytes, target } = entry;
      const path = type === 'directory' ? `${entry.path}/` : entry.path;
      // With room to spare and no half character, so that no rule about long names is met here.
      const isPlain = path.length < 100 && target.length < 100 && PLAIN.test(path) && PLAIN.test(target);
      if (!isPlain || sizeBytes > LARGEST_PLAIN_BYTES) return encodeEntryHeader(entry);
      let template = templates.get(type);
      if (template === undefined) {
        template = encodeBlock({ path: '', type, mode: 0, sizeBytes: 0, target: '' });
        templates.set(type, template);
      }
      template.copy(block);
      block.write(path, 0, 'latin1');
      block.write(`${mode.toString(8).padStart(6, '0')} \0`, 100, 'latin1');
      block.write(`${sizeBytes.toString(8).padStart(10, '0')} \0`, 124, 'latin1');
      block.write(target, 157, 'latin1');
      let sum = 8 * 0x20;
      for (let at = 0; at < BLOCK_BYTES; at++) sum += at >= 148 && at < 156 ? 0 : (block[at] ?? 0);
      block.write(`${sum.toString(8).padStart(6, '0')} \0`, 148, 'latin1');
      return block;
    },
  };
}

/** The length of `encodeEntryHeader(entry)`, which for nearly all entries needs no encoding. */
export function entryHeaderBytes(entry: EntryHeader): number {
  const path = entry.type === 'directory' ? `${entry.path}/` : entry.path;
  let bytes = BLOCK_BYTES;
  if (Buffer.byteLength(entry.target) > 100) bytes += longEntryBytes(entry.target);
  const isShort = Buffer.byteLength(path) < 100 && !LONE_SURROGATE.test(path);
  if (!isShort && new Header(encodeBlock({ ...entry, path })).path !== path) bytes += longEntryBytes(path);
  return bytes;
}

/** How many zero bytes fill up the last block of `sizeBytes` of content. */
export function paddingBytes(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}

type TarType = (typeof TAR_TYPES)[EntryHeader['type']] | 'NextFileHasLongPath' | 'NextFileHasLongLinkpath';

function encodeBlock(entry: Omit<EntryHeader, 'type'> & { type: EntryHeader['type'] }): Buffer {
  return encodeRaw({ ...entry, type: TAR_TYPES[entry.type] });
}

function encodeRaw(fields: {
  path: string;
  mode: number;
  sizeBytes: number;
  target: string;
  type: TarType;
}): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const header = new Header({
    path: fields.path,
    mode: fields.mode,
    uid: 0,
    gid: 0,
    size: fields.sizeBytes,
    mtime: new Date(CANONICAL_MTIME_S * 1000),
    linkpath: fields.target,
    uname: '',
    gname: '',
    devmaj: 0,
    devmin: 0,
    type: fields.type,
  });
  header.encode(block);
  return block;
}

function longEntry(type: TarType, name: string): Buffer[] {
  const bytes = Buffer.from(`${name}\0`);
  const sizeBytes = bytes.length;
  const header = encodeRaw({ path: '././@LongLink', mode: 0o644, sizeBytes, target: '', type });
  return [header, bytes, Buffer.alloc(paddingBytes(sizeBytes))];
}

function longEntryBytes(name: string): number {
  const sizeBytes = Buffer.byteLength(name) + 1;
  return BLOCK_BYTES + sizeBytes + paddingBytes(sizeBytes);
}

/** What a reader without long names would see: ASCII, so that nothing is cut in the middle of a character. */
function placeholder(name: string): string {
  return name
    .replace(/[^\x20-\x7e]/g, '_')
    .slice(-90)
    .replace(/^\/+/, '');
}
