/** How large a tarball is unpacked: by reading all of it, or by the last four bytes of its gzip data alone. */
import * as fs from 'node:fs';
import type { ArtifactIndex } from '../../artifact/manifest/index-guard.ts';
import { rootPrefixOf } from '../../artifact/manifest/verify-tree.ts';
import type { ArtifactName } from '../../artifact/name.ts';
import { assertLayout } from '../../artifact/unpack/checks.ts';
import { inspectArtifact } from '../../artifact/unpack/extract.ts';
import { GweError, wrapError } from '../../base/errors.ts';
import { readContentRange } from '../../protocol/content-api.ts';
import { createAdmission } from '../admission/admission.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import { checkProgram } from '../admission/program-entry.ts';
import type { Item } from '../fetch/item.ts';
import type { AgentContext } from '../run/context.ts';

export interface UnpackedSize {
  /** The size of the files when exact, else of the tar stream. */
  unpackedBytes: number;
  /** Otherwise it is a lower bound. */
  isExact: boolean;
  /** 0 where they have not been counted. */
  entries: number;
  /** Whether it has a supervisor.conf, where that is known. */
  hasProgram?: boolean;
  digest?: string;
}

export const UNKNOWN_SIZE: UnpackedSize = { unpackedBytes: 0, isExact: false, entries: 0 };

const PROGRAM_FILE = 'supervisor.conf';

/** ISIZE (RFC 1952 §2.3.1): modulo 2^32, and of the last member alone where there are several. */
const TRAILER_BYTES = 4;
/** A smaller item is not worth a request of its own: what it unpacks to is found out soon enough. */
const WORTH_ASKING_BYTES = 1024 * 1024;

/** By the trailer of a file on this gateway; nothing is known of a file that cannot be read. */
export function sizeByTrailer(path: string): UnpackedSize {
  const sizeBytes = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (sizeBytes < TRAILER_BYTES) return UNKNOWN_SIZE;
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
  return { ...UNKNOWN_SIZE, unpackedBytes: trailer.readUInt32LE() };
}

/** By the manifest alone, to the byte. */
export function sizeByIndex({ manifest, digest }: ArtifactIndex): UnpackedSize {
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
export async function sizeByItemTrailer(
  item: Pick<Item, 'api' | 'signal'> & { request: { contentId: string }; info: { sizeBytes: number } },
): Promise<UnpackedSize> {
  const { api, request, info, signal } = item;
  if (info.sizeBytes <= WORTH_ASKING_BYTES) return UNKNOWN_SIZE;
  try {
    const { bytes } = await readContentRange(
      api,
      request.contentId,
      { suffix: TRAILER_BYTES },
      { maxBytes: TRAILER_BYTES, signal },
    );
    return bytes.length < TRAILER_BYTES
      ? UNKNOWN_SIZE
      : { ...UNKNOWN_SIZE, unpackedBytes: bytes.readUInt32LE() };
  } catch (error) {
    if (!(error instanceof GweError) || error.code === 'CANCELLED') throw error;
    return UNKNOWN_SIZE;
  }
}

/**
 * By reading a whole file with every check that an installation makes before it runs anything of it. Throws ARTIFACT_*,
 * SUPERVISOR_*, STORE_IO, CANCELLED. Writes nothing.
 */
export async function sizeByReading(
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'gweVersion' | 'settings' | 'supervisor' | 'clockFloor'
  >,
  artifact: ArtifactName,
  path: string,
  signal: AbortSignal,
): Promise<UnpackedSize> {
  const limits = artifactLimits(context.settings());
  const admit = createAdmission(context, artifact);
  const contents = await inspectArtifact(path, { limits, signal, admit });
  assertLayout(contents);
  const program = contents.files.get('supervisor.conf');
  if (program?.type === 'file') {
    const source = program.head.toString('utf8');
    // Whether a relative word of its command is a file of the version changes nothing of what is checked.
    await checkProgram(context, artifact.name, { source, has: () => false }, 'before-install');
  }
  return {
    unpackedBytes: contents.unpackedBytes,
    isExact: true,
    entries: contents.entries,
    hasProgram: program !== undefined,
    digest: contents.digest,
  };
}
