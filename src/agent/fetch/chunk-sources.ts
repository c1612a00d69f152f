/** Everything on this gateway that chunks of a new version can come from. */
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { openTreeStream } from '../../artifact/chunks/tree-stream.ts';
import { partDirectory } from '../../store/versions.ts';
import type { AgentContext } from '../run/context.ts';
import { MOST_AHEAD } from './assemble-chunks.ts';
import type { ChunkedInspection } from './inspect-item.ts';
import type { Item } from './item.ts';
import { openSeeds } from './seeds.ts';

export interface ChunkSources {
  /** Whether the gateway seems to have the chunk. */
  isHere(at: number): boolean;
  stagedBytes: number;
  candidates(index: number, into: Buffer): Iterable<Buffer>;
  close(): void;
}

/** Everything that chunks can come from, and what it leaves to be fetched. */
export async function openSources(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings'>,
  { request, signal }: Pick<Item, 'request' | 'signal'>,
  inspection: ChunkedInspection,
  { mayWrite }: { mayWrite: boolean },
): Promise<ChunkSources> {
  const { chunks, index } = inspection;
  const seeds = await openSeeds(context, request.app, chunks, { mayWrite, signal });
  const part = partDirectory(context.layout, request.app, index.digest);
  const staged = openTreeStream(part, index.manifest, { rootPrefix: '', mayBePartial: true });
  /** The first chunk with the same content: two files may be alike, and by then it has been unpacked. */
  const earlier = (at: number): number => chunks.first(chunks.at(at)?.digest ?? '') ?? at;
  const hasEarlier = (at: number): boolean => earlier(at) < at - MOST_AHEAD;
  const isHere = (at: number): boolean => {
    const chunk = chunks.at(at);
    if (chunk === undefined) return false;
    return seeds.has(chunk) || hasEarlier(at) || staged.has(chunk.offset, chunk.sizeBytes);
  };
  const here = Uint8Array.from({ length: chunks.length }, (_, at) => (isHere(at) ? 1 : 0));
  return {
    isHere: (at) => here[at] === 1,
    stagedBytes: treeBytes(part),
    *candidates(at, into) {
      const chunk = chunks.at(at);
      if (chunk === undefined) return;
      for (const offset of new Set([chunk.offset, chunks.at(earlier(at))?.offset ?? 0]))
        if (staged.read(offset, into)) yield into;
      yield* seeds.candidates(chunk, into);
    },
    close() {
      staged.close();
      seeds.close();
    },
  };
}

/** Bytes of the files below `directory`; 0 if there is none. */
export function treeBytes(directory: string): number {
  if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return 0;
  let bytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const at = join(directory, entry.name);
    if (entry.isDirectory()) bytes += treeBytes(at);
    else if (entry.isFile()) bytes += lstatSync(at).size;
  }
  return bytes;
}
