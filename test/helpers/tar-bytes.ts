/** Tar archives byte by byte: every field can be made wrong, which no real tar writer would do. */
import { gzipSync } from 'node:zlib';

export interface RawHeader {
  name: string | Buffer;
  mode?: number | Buffer;
  uid?: number | Buffer;
  gid?: number | Buffer;
  /** Defaults to the length of the body. */
  size?: number | Buffer;
  mtime?: number | Buffer;
  /** '0' file, '1' hard link, '2' symlink, '3' character device, '5' directory, '6' FIFO, 'x' pax, 'L' GNU long name ... */
  type?: string;
  link?: string | Buffer;
  /** Magic and version, 8 bytes; GNU's by default is `ustar  \0`. */
  magic?: string;
  prefix?: string;
  /** Added to the right checksum. */
  checksumError?: number;
}

function octal(value: number | Buffer, width: number): Buffer {
  if (Buffer.isBuffer(value)) return value;
  return Buffer.from(`${value.toString(8).padStart(width - 1, '0')}\0`, 'latin1');
}

export function rawHeader(header: RawHeader): Buffer {
  const block = Buffer.alloc(512);
  const put = (value: string | Buffer, at: number, limit: number): void => {
    Buffer.from(value as string)
      .subarray(0, limit)
      .copy(block, at);
  };
  put(header.name, 0, 100);
  put(octal(header.mode ?? 0o644, 8), 100, 8);
  put(octal(header.uid ?? 0, 8), 108, 8);
  put(octal(header.gid ?? 0, 8), 116, 8);
  put(octal(header.size ?? 0, 12), 124, 12);
  put(octal(header.mtime ?? 0, 12), 136, 12);
  put(header.type ?? '0', 156, 1);
  put(header.link ?? '', 157, 100);
  put(header.magic ?? 'ustar\x0000', 257, 8);
  put(header.prefix ?? '', 345, 155);
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0) + (header.checksumError ?? 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** The body, filled up to a multiple of 512 bytes. */
export function rawBody(body: string | Buffer): Buffer {
  const bytes = Buffer.from(body as string);
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

export function rawEntry(header: RawHeader, body: string | Buffer = ''): Buffer {
  return Buffer.concat([rawHeader({ size: Buffer.byteLength(body), ...header }), rawBody(body)]);
}

/** One pax record: its own length, key and value. */
export function paxRecord(key: string, value: string | Buffer): Buffer {
  const tail = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value as string), Buffer.from('\n')]);
  let length = tail.length + 1;
  while (String(length).length + tail.length !== length) length = String(length).length + tail.length;
  return Buffer.concat([Buffer.from(String(length)), tail]);
}

export function paxEntry(records: Record<string, string | Buffer>, type: 'x' | 'g' = 'x'): Buffer {
  const body = Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)));
  return rawEntry({ name: 'PaxHeaders/entry', type }, body);
}

/** GNU's way to give the next entry a long name ('L') or link target ('K'). */
export function gnuLong(type: 'L' | 'K', value: string): Buffer {
  return rawEntry({ name: '././@LongLink', type, magic: 'ustar  \0' }, `${value}\0`);
}

/** The two zero blocks that end an archive. */
export const END_BLOCKS: Buffer = Buffer.alloc(1024);

/** The parts with end blocks behind them, gzipped. */
export function gzipTar(...parts: readonly Buffer[]): Buffer {
  return gzipSync(Buffer.concat([...parts, END_BLOCKS]), { level: 1 });
}
