/**
 * Holds an indexed tarball to its manifest while it is read: the tar stream must be, byte for byte, the one that gwe
 * would write for it. TarReader has parsed what passes here; this detects the differences that parsers do not see.
 */
import { createHash, type Hash } from 'node:crypto';
import { limitFault, manifestFault, quote } from '../faults.ts';
import type { ArtifactLimits } from '../limits.ts';
import type { TarEntry } from '../tar/entries.ts';
import { BLOCK_BYTES } from '../tar/header.ts';
import { assertInnerSymlink } from '../tar/links.ts';
import { createHeaderEncoder, END_OF_ARCHIVE_BYTES, encodeEntryHeader, paddingBytes } from '../tar/writer.ts';
import {
  assertNotReserved,
  decodeManifest,
  type Manifest,
  metaEntryHeader,
  toEntryHeader,
} from './manifest.ts';
import { MANIFEST_PATH, manifestDigest, SIGNATURES_PATH } from './meta-files.ts';
import { type ArtifactSignature, decodeSignatures } from './signature.ts';

/** What an indexed tarball says about itself, ahead of everything else. */
export interface ArtifactIndex {
  manifest: Manifest;
  /** sha256 of the manifest's bytes, hex. */
  digest: string;
  signatures: readonly ArtifactSignature[];
}

/**
 * Called once, before any entry of the app is passed on; `undefined` for a tarball without a manifest. Throws to
 * refuse.
 */
export type Admit = (index: ArtifactIndex | undefined) => void;

/** Headers, padding, and what the chunk that ends the signatures holds behind them. */
const EARLY_SLACK_BYTES = 128 * 1024;

const EMPTY_SHA256 = createHash('sha256').digest('hex');

/** The bytes of one entry, put together from the pieces that they come in. */
class Content {
  readonly #sizeBytes: number;
  readonly #mayKeep: boolean;
  #bytes: Buffer = Buffer.alloc(0);
  #doneBytes = 0;

  /** `mayKeep`: one piece that is all of it is not copied. */
  constructor(sizeBytes: number, mayKeep: boolean) {
    this.#sizeBytes = sizeBytes;
    this.#mayKeep = mayKeep;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  take(piece: Buffer): void {
    if (this.#mayKeep && piece.length === this.#sizeBytes) {
      this.#bytes = piece;
      return;
    }
    if (this.#doneBytes === 0) this.#bytes = Buffer.allocUnsafe(this.#sizeBytes);
    this.#doneBytes += piece.copy(this.#bytes, this.#doneBytes);
  }
}

type State =
  | { at: 'start' }
  | { at: 'plain' }
  | { at: 'manifest'; content: Content }
  | { at: 'signatures'; content: Content; manifestBytes: Buffer; manifest: Manifest }
  | { at: 'entries'; index: ArtifactIndex; matcher: StreamMatcher; next: number };

export interface IndexGuardOptions {
  limits: ArtifactLimits;
  /** Default: everything may pass. */
  admit?: Admit | undefined;
  /** Buffers up to the end of the index stay as they are: what is in them is not copied. */
  keepsIndex?: boolean | undefined;
}

export class IndexGuard {
  readonly #limits: ArtifactLimits;
  readonly #admit: Admit;
  readonly #keepsIndex: boolean;
  #state: State = { at: 'start' };
  /** The stream so far, until there is a manifest to hold it to. Bounded by the limits of its two entries. */
  #early: Buffer[] = [];
  #earlyBytes = 0;

  constructor({ limits, admit = () => undefined, keepsIndex = false }: IndexGuardOptions) {
    this.#limits = limits;
    this.#admit = admit;
    this.#keepsIndex = keepsIndex;
  }

  get index(): ArtifactIndex | undefined {
    return this.#state.at === 'entries' ? this.#state.index : undefined;
  }

  /** To be called with each entry before anything is done about it. */
  entry(entry: TarEntry): void {
    const state = this.#state;
    if (state.at === 'start') this.#begin(entry);
    else if (state.at === 'plain') assertNotReserved(entry.path);
    else if (state.at === 'signatures') {
      this.#expectMeta(entry, SIGNATURES_PATH, this.#limits.metaEntryBytes);
      state.content = this.#content(entry);
    } else if (state.at === 'entries') this.#expectListed(state, entry);
  }

  data(chunk: Buffer): void {
    const state = this.#state;
    if (state.at === 'manifest' || state.at === 'signatures') state.content.take(chunk);
  }

  fileEnd(): void {
    const state = this.#state;
    if (state.at === 'manifest') {
      const { bytes: manifestBytes } = state.content;
      const manifest = decodeManifest(manifestBytes, this.#limits);
      this.#state = { at: 'signatures', content: new Content(0, false), manifestBytes, manifest };
    } else if (state.at === 'signatures') {
      const { manifest, manifestBytes } = state;
      const { bytes: signatureBytes } = state.content;
      const signatures = decodeSignatures(signatureBytes);
      const index = { manifest, digest: manifestDigest(manifestBytes), signatures };
      this.#admit(index);
      const matcher = new StreamMatcher(expectedStream(manifest, manifestBytes, signatureBytes));
      this.#state = { at: 'entries', index, matcher, next: 0 };
    }
  }

  /** To be called with each chunk of the tar stream, after TarReader has taken it. */
  stream(chunk: Buffer): void {
    const state = this.#state;
    if (state.at === 'plain') return;
    if (state.at !== 'entries') {
      this.#keepEarly(chunk);
      return;
    }
    for (const early of this.#early.splice(0)) state.matcher.take(early);
    state.matcher.take(chunk);
  }

  /** The stream is over. */
  end(): void {
    const state = this.#state;
    if (state.at === 'start') this.#admit(undefined);
    else if (state.at === 'entries') state.matcher.end();
    else if (state.at !== 'plain') throw manifestFault(`no ${SIGNATURES_PATH}`, 'it behind the manifest');
  }

  /** Extension headers without end could stand in front of an entry; gwe itself writes none. */
  #keepEarly(chunk: Buffer): void {
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes <= this.#mostEarlyBytes())
      this.#early.push(this.#keepsIndex ? chunk : Buffer.from(chunk));
    else if (this.#state.at === 'start') this.#early = [];
    else throw this.#tooLate(SIGNATURES_PATH);
  }

  #content({ sizeBytes }: TarEntry): Content {
    return new Content(sizeBytes, this.#keepsIndex);
  }

  #mostEarlyBytes(): number {
    return this.#limits.manifestBytes + this.#limits.metaEntryBytes + EARLY_SLACK_BYTES;
  }

  #tooLate(path: string): Error {
    return manifestFault(`more than ${this.#mostEarlyBytes()} bytes in front of ${path}`, 'no other headers');
  }

  #begin(entry: TarEntry): void {
    if (entry.path === MANIFEST_PATH) {
      // What was dropped could no longer be compared.
      if (this.#earlyBytes > this.#mostEarlyBytes()) throw this.#tooLate(MANIFEST_PATH);
      this.#expectMeta(entry, MANIFEST_PATH, this.#limits.manifestBytes);
      this.#state = { at: 'manifest', content: this.#content(entry) };
      return;
    }
    this.#state = { at: 'plain' };
    this.#early = [];
    this.#admit(undefined);
    assertNotReserved(entry.path);
  }

  #expectMeta(entry: TarEntry, path: string, limitBytes: number): void {
    if (entry.path !== path || entry.type !== 'file') {
      throw manifestFault(`${entry.type} ${quote(entry.path)}`, `the file ${path} there`);
    }
    if (entry.sizeBytes > limitBytes)
      throw limitFault(`entry ${quote(path)}`, `${entry.sizeBytes} bytes`, `${limitBytes}`);
  }

  /** The bytes are compared as well; this is for a message that says which entry it is about. */
  #expectListed(state: State & { at: 'entries' }, entry: TarEntry): void {
    const { entries } = state.index.manifest;
    const expected = entries.at(state.next++);
    if (entry.type === 'symlink') assertInnerSymlink(entry.path, entry.target, this.#limits);
    if (expected?.path === entry.path && expected.type === entry.type) return;
    const isListed = [...entries].some(({ path }) => path === entry.path);
    const found = `${entry.type} ${quote(entry.path)}${isListed ? '' : ', which the manifest does not list'}`;
    throw manifestFault(
      found,
      expected === undefined ? 'the end of the archive' : `${expected.type} ${quote(expected.path)}`,
    );
  }
}

/** A stretch of the stream: these bytes, or a file's content that is known by its digest. */
type Stretch =
  | { kind: 'bytes'; bytes: Buffer; what: string; startsEntry: boolean }
  | { kind: 'content'; sizeBytes: number; sha256: string; what: string };

/** None of the stretches is empty; the bytes of each are good until the next. */
function* expectedStream(manifest: Manifest, manifestBytes: Buffer, signatures: Buffer): Generator<Stretch> {
  yield* metaStretches(MANIFEST_PATH, manifestBytes);
  yield* metaStretches(SIGNATURES_PATH, signatures);
  const headers = createHeaderEncoder();
  const zeros = Buffer.alloc(BLOCK_BYTES);
  for (const entry of manifest.entries) {
    const what = quote(entry.path);
    yield { kind: 'bytes', bytes: headers.encode(toEntryHeader(entry)), what, startsEntry: true };
    if (entry.type !== 'file') continue;
    const { size: sizeBytes, sha256 } = entry;
    if (sizeBytes > 0) yield { kind: 'content', sizeBytes, sha256, what };
    else if (sha256 !== EMPTY_SHA256)
      throw manifestFault(`entry ${what} without content`, `sha256 ${sha256}`);
    const padding = zeros.subarray(0, paddingBytes(sizeBytes));
    if (padding.length > 0) yield { kind: 'bytes', bytes: padding, what, startsEntry: false };
  }
  const what = 'the end of the archive';
  yield { kind: 'bytes', bytes: Buffer.alloc(END_OF_ARCHIVE_BYTES), what, startsEntry: false };
}

function* metaStretches(path: string, content: Buffer): Generator<Stretch> {
  const header = encodeEntryHeader(metaEntryHeader(path, content.length));
  const padding = Buffer.alloc(paddingBytes(content.length));
  for (const bytes of [header, content, padding])
    if (bytes.length > 0) yield { kind: 'bytes', bytes, what: quote(path), startsEntry: false };
}

/** Compares a stream with its stretches; throws ARTIFACT_MANIFEST at the first difference. */
class StreamMatcher {
  readonly #stretches: Generator<Stretch>;
  #current: Stretch | undefined;
  #doneBytes = 0;
  #offset = 0;
  #hash: Hash | undefined;

  constructor(stretches: Generator<Stretch>) {
    this.#stretches = stretches;
    this.#advance();
  }

  take(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      const current = this.#current;
      if (current === undefined) {
        const found = `${chunk.length - at} or more bytes behind the end, at byte ${this.#offset}`;
        throw manifestFault(found, 'none');
      }
      const size = current.kind === 'bytes' ? current.bytes.length : current.sizeBytes;
      const part = chunk.subarray(at, at + size - this.#doneBytes);
      this.#compare(current, part);
      at += part.length;
      this.#offset += part.length;
      this.#doneBytes += part.length;
      if (this.#doneBytes === size) this.#finish(current);
    }
  }

  end(): void {
    const current = this.#current;
    if (current !== undefined) throw manifestFault(`the stream ends before ${current.what} is whole`, 'all');
  }

  #compare(current: Stretch, part: Buffer): void {
    if (current.kind === 'content') {
      this.#hash?.update(part);
      return;
    }
    const expected = current.bytes.subarray(this.#doneBytes, this.#doneBytes + part.length);
    if (part.equals(expected)) return;
    const differs = part.findIndex((byte, index) => byte !== expected[index]);
    const isEnd =
      current.startsEntry && this.#doneBytes === 0 && part.subarray(0, BLOCK_BYTES).every((b) => b === 0);
    throw isEnd
      ? manifestFault('the end of the archive', `entry ${current.what}`)
      : manifestFault(
          `another byte at ${this.#offset + differs}, in the header or padding of ${current.what}`,
          'what gwe writes there',
        );
  }

  #finish(current: Stretch): void {
    if (current.kind === 'content') {
      const found = this.#hash?.digest('hex');
      if (found !== current.sha256)
        throw manifestFault(`entry ${current.what} with sha256 ${found}`, current.sha256);
    }
    this.#advance();
  }

  #advance(): void {
    const { value, done } = this.#stretches.next();
    this.#current = done === true ? undefined : value;
    this.#doneBytes = 0;
    this.#hash = this.#current?.kind === 'content' ? createHash('sha256') : undefined;
  }
}
