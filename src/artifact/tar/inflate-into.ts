/**
 * Inflates gzip members into memory that is there already. The public functions of zlib make a handle and buffers for
 * each member; what they drive can be used again and given its buffers, but has no public name: where it does not
 * look as in the runtimes that gwe ships, and for whatever it cannot read, the public function decides.
 */
import { constants, createGunzip, gunzip } from 'node:zlib';

export interface Inflater {
  /**
   * Fills all but the last byte of `into` with what `member` holds, on the thread pool; false if that is anything else
   * in length, or damaged. One at a time. Neither buffer may be used by others meanwhile.
   */
  inflate(member: Buffer, into: Buffer): Promise<boolean>;
  close(): void;
}

export function createInflater(handle: RawHandle | undefined = openHandle()): Inflater {
  return {
    async inflate(member, into) {
      if (handle !== undefined && (await drive(handle, member, into))) return true;
      return inflateByCopy(member, into);
    },
    close() {
      handle?.gunzip.close();
    },
  };
}

/** What node:zlib hands to the thread pool. `results`: bytes of output that are free, bytes of input that are left. */
export interface RawHandle {
  gunzip: RawGunzip;
  results: Uint32Array;
}

interface RawGunzip {
  reset(): void;
  close(): void;
  write(...job: [flush: number, ...input: Stretch, ...output: Stretch]): void;
  cb?: () => void;
  onerror?: () => void;
  /** Kept from the collector while the thread reads and writes them. */
  held?: readonly Buffer[] | undefined;
}

type Stretch = [bytes: Buffer, from: number, length: number];

/** Whose handles take these arguments: another version could end the process over them. */
const KNOWN_VERSIONS = /^(20|24)\./;

/** `undefined` where the runtime has no handle of the kind that is known. */
export function openHandle(version: string = process.versions.node): RawHandle | undefined {
  if (!KNOWN_VERSIONS.test(version)) return undefined;
  const stream = createGunzip({ chunkSize: constants.Z_MIN_CHUNK });
  const gunzip: unknown = Reflect.get(stream, '_handle');
  const results: unknown = Reflect.get(stream, '_writeState');
  if (!isRawGunzip(gunzip) || !(results instanceof Uint32Array) || results.length !== 2) return undefined;
  // Its own callback would push the output into the stream; for one that is gone it calls `cb` and does no more.
  Object.defineProperty(stream, 'destroyed', { value: true });
  return { gunzip, results };
}

function isRawGunzip(value: unknown): value is RawGunzip {
  if (typeof value !== 'object' || value === null) return false;
  return ['write', 'reset', 'close'].every((name) => typeof Reflect.get(value, name) === 'function');
}

function drive({ gunzip, results }: RawHandle, member: Buffer, into: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (isWhole: boolean): void => {
      gunzip.held = undefined;
      gunzip.onerror = () => undefined;
      gunzip.reset();
      resolve(isWhole);
    };
    gunzip.cb = () => end(results[0] === 1);
    gunzip.onerror = () => end(false);
    gunzip.held = [member, into];
    gunzip.write(constants.Z_FINISH, member, 0, member.length, into, 0, into.length);
  });
}

function inflateByCopy(member: Buffer, into: Buffer): Promise<boolean> {
  const sizeBytes = into.length - 1;
  // A little more than the output, or zlib would begin another buffer to see that there is no more.
  const options = { maxOutputLength: Math.max(1, sizeBytes), chunkSize: sizeBytes + constants.Z_MIN_CHUNK };
  return new Promise((resolve) => {
    gunzip(member, options, (error, bytes) => {
      const isWhole = error === null && bytes.length === sizeBytes;
      if (isWhole) bytes.copy(into);
      resolve(isWhole);
    });
  });
}
