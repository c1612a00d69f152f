/** One patch between two tarballs of a content area, within bounds of time and memory. */
import { constants, getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { readIndexFile } from '../../artifact/chunks/index-file.ts';
import { DEFAULT_LIMITS } from '../../artifact/limits.ts';
import type { ArtifactIndex } from '../../artifact/manifest/index-guard.ts';
import { renderArtifactName } from '../../artifact/name.ts';
import { patchName } from '../../artifact/patch/format.ts';
import { makePairPatch, type PairResult } from '../../artifact/patch/pair.ts';
import { describeError, GweError } from '../../base/errors.ts';
import type { CommandCall } from '../shell/command.ts';
import { renderBytes } from '../shell/screen.ts';
import { hasRoleToken, openClient, pathSegment } from './platform-options.ts';

/** A patch is not worth storing unless it is smaller than this share of what a gateway fetches as chunks. */
const WORTH = 0.9;

export interface Bounds {
  readonly longestMs: number;
  readonly memoryBytes: number;
}

/** The new tarball, and a directory for whatever else is needed. */
interface PairPlace {
  readonly product: string;
  readonly file: string;
  readonly next: ArtifactIndex;
  readonly scratch: string;
}

/** The patch is in `file`, under the name that gateways look for. */
export type MadePatch = PairResult & { readonly file: string };

/** The index of a tarball, `undefined` where it has none. */
export function indexOf(file: string): ArtifactIndex | undefined {
  try {
    return readIndexFile(file, DEFAULT_LIMITS).index;
  } catch {
    return undefined;
  }
}

/** False if it is not in the content area. Throws where the platform cannot be reached. */
export function fetchContent(
  call: CommandCall,
  product: string,
  { id, file }: { readonly id: string; readonly file: string },
): Promise<boolean> {
  const path = hasRoleToken(call)
    ? `/gwe/v2/products/${pathSegment(product)}/content/${pathSegment(id)}/bytes`
    : `/provision/manage/content/${pathSegment(product)}/${pathSegment(id)}?download=true`;
  return openClient(call).download(path, file);
}

/**
 * The patch from the version `from`, or the reason why there is none. Throws CANCELLED, and where the platform cannot
 * be reached.
 */
export async function patchFrom(
  call: CommandCall,
  from: string,
  { product, file, next, scratch }: PairPlace,
  bounds: Bounds,
): Promise<MadePatch | { readonly without: string }> {
  const id = renderArtifactName({ name: next.manifest.name, version: from });
  const old = join(scratch, id);
  if (!(await fetchContent(call, product, { id, file: old })))
    return { without: 'it is not in the content area' };
  const before = indexOf(old);
  if (before === undefined) return { without: 'it was packed without chunks' };
  const output = join(scratch, patchName(next.manifest, before.digest, next.digest));
  return makeWithin(call, { old, file, output }, bounds);
}

interface Files {
  readonly old: string;
  readonly file: string;
  readonly output: string;
}

async function makeWithin(
  { io: { clock, signal } }: CommandCall,
  { old, file, output }: Files,
  { longestMs, memoryBytes: most }: Bounds,
): Promise<MadePatch | { readonly without: string }> {
  const [bounded, over] = [new AbortController(), new AbortController()];
  void clock.sleep(longestMs, over.signal).then(() => over.signal.aborted || bounded.abort());
  try {
    const made = await makePairPatch(old, file, {
      output,
      signal: AbortSignal.any([signal, bounded.signal]),
      onPlan({ memoryBytes }) {
        if (memoryBytes > most)
          throw new GweError('ARTIFACT_PATCH', `it takes about ${renderBytes(memoryBytes)} of memory`);
      },
    });
    const isWorth = made.file !== undefined && made.patchedBytes < made.chunkedBytes * WORTH;
    if (made.file !== undefined && isWorth) return { ...made, file: made.file };
    return { without: 'it would save too little over chunks' };
  } catch (error) {
    if (signal.aborted) throw error;
    const minutes = Math.round(longestMs / 60_000);
    return {
      without: bounded.signal.aborted ? `it takes more than ${minutes} minutes` : describeError(error),
    };
  } finally {
    over.abort();
  }
}

/**
 * Everything else on this machine takes precedence, also over an upload that follows: only root may raise the
 * priority again.
 */
export function lowerPriority(): void {
  setPriority(Math.max(getPriority(), constants.priority.PRIORITY_BELOW_NORMAL));
}
