/** How large a tarball is unpacked: by reading all of it, or by the last four bytes of its gzip data alone. */
import * as fs from 'node:fs';
import { inspectArtifact } from '../artifact/extract.ts';
import type { ArtifactIndex } from '../artifact/index-guard.ts';
import { assertLayout } from '../artifact/layout.ts';
import type { ArtifactName } from '../artifact/name.ts';
import { rootPrefixOf } from '../artifact/verify-tree.ts';
import { GweError, wrapError } from '../base/errors.ts';
import { type ContentApi, type ContentInfo, readContentRange } from '../protocol/content.ts';
import type { AgentContext } from './context.ts';
import { artifactLimits } from './limits.ts';
import { checkProgram } from './programs.ts';
import { createAdmission } from './trust.ts';

export interface Measure {
  /** Of the files when exact, else of the tar stream. */
  unpackedBytes: number;
  /** Otherwise it is a lower bound. */
  isExact: boolean;
  /** 0 where they have not been counted. */
  entries: number;
  /** Whether it has a supervisor.conf, where that is known. */
  hasProgram?: boolean;
  digest?: string;
}

export const NOT_MEASURED: Measure = { unpackedBytes: 0, isExact: false, entries: 0 };

const PROGRAM_FILE = 'supervisor.conf';

/** ISIZE (RFC 1952 §2.3.1): modulo 2^32, and of the last member alone where there are several. */
const TRAILER_BYTES = 4;
/** A smaller item is not worth a request of its own: what it unpacks to is found out soon enough. */
const WORTH_ASKING_BYTES = 1024 * 1024;

/** By the trailer of a file on this gateway; nothing is known of a file that cannot be read. */
export function measureTrailer(path: string): Measure {
  const sizeBytes = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (sizeBytes < TRAILER_BYTES) return NOT_MEASURED;
  const trailer = Buffer.alloc(TRAILER_BYTES);
  try {
    const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    try {
      fs.readSync(fd, trailer, 0, TRAILER_BYTES, sizeBytes - TRAILER_BYTES);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot read '${path}'`);
  }
  return { ...NOT_MEASURED, unpackedBytes: trailer.readUInt32LE() };
}

/** By the manifest alone, to the byte. */
export function measureIndex({ manifest, digest }: ArtifactIndex): Measure {
  const { entries } = manifest;
  const prefix = rootPrefixOf(entries);
  const program = prefix === '' ? PROGRAM_FILE : `${prefix}/${PROGRAM_FILE}`;
  let unpackedBytes = 0;
  let hasProgram = false;
  for (const entry of entries) {
    if (entry.type === 'file') unpackedBytes += entry.size;
    hasProgram ||= entry.path === program;
  }
  return { unpackedBytes, isExact: true, entries: entries.length, hasProgram, digest };
}

/**
 * By the trailer of an item that has not been fetched: one request for four bytes, for large items only. A platform
 * that does not answer it leaves the size unknown; the download itself will tell what is wrong.
 */
export async function measureContent(
  content: ContentApi,
  id: string,
  info: Pick<ContentInfo, 'sizeBytes'>,
  signal: AbortSignal,
): Promise<Measure> {
  if (info.sizeBytes <= WORTH_ASKING_BYTES) return NOT_MEASURED;
  try {
    const { bytes } = await readContentRange(content, id, { suffix: TRAILER_BYTES }, TRAILER_BYTES, signal);
    return bytes.length < TRAILER_BYTES
      ? NOT_MEASURED
      : { ...NOT_MEASURED, unpackedBytes: bytes.readUInt32LE() };
  } catch (error) {
    if (!(error instanceof GweError) || error.code === 'CANCELLED') throw error;
    return NOT_MEASURED;
  }
}

/**
 * By reading a whole file with every check that an installation makes before it runs anything of it. Throws ARTIFACT_*,
 * SUPERVISOR_*, STORE_IO, CANCELLED. Writes nothing.
 */
export async function measureWhole(
  context: AgentContext,
  asked: ArtifactName,
  path: string,
  signal: AbortSignal,
): Promise<Measure> {
  const limits = artifactLimits(context.settings());
  const admit = createAdmission(context, asked);
  const contents = await inspectArtifact(path, { limits, signal, admit });
  assertLayout(contents);
  const program = contents.files.get('supervisor.conf');
  if (program?.type === 'file')
    await checkProgram(context, asked.name, program.head.toString('utf8'), 'before-install');
  return {
    unpackedBytes: contents.unpackedBytes,
    isExact: true,
    entries: contents.entries,
    hasProgram: program !== undefined,
    digest: contents.digest,
  };
}
