/**
 * Patches to a tarball that is about to be uploaded, from the versions that the fleet runs: made on this machine, from what
 * is in the content area. They go first, so that a gateway that hears of the tarball finds them.
 */
import { mkdtempSync } from 'node:fs';
import { constants, getPriority, setPriority, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { readIndexFile } from '../../artifact/chunks/index-file.ts';
import { DEFAULT_LIMITS } from '../../artifact/limits.ts';
import type { ArtifactIndex } from '../../artifact/manifest/index-guard.ts';
import { matchArtifactName, renderArtifactName } from '../../artifact/name.ts';
import { patchName } from '../../artifact/patch/format.ts';
import { makePairPatch, type PairResult } from '../../artifact/patch/pair.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { removeTree } from '../../base/remove-tree.ts';
import type { CommandCall } from '../shell/command.ts';
import { printRemark, renderBytes } from '../shell/screen.ts';
import { openClient, pathSegment } from './platform-options.ts';

/** As many versions are worth a patch at the most. */
const MOST_VERSIONS = 8;
/** Of the gateways that have the app, or of all of them: a version that fewer run gets none. */
const LEAST_SHARE = 0.01;
const LEAST_GATEWAYS = 20;
/** A patch that saves less over chunks is not worth its place. */
const WORTH = 0.9;
const LONGEST_MS = 15 * 60 * 1000;
/** Of the memory of this machine. */
const MEMORY_SHARE = 0.5;

const STATUS = v.looseObject({ apps: v.record(v.string(), v.record(v.string(), v.number())) });

interface FleetPatch extends PairResult {
  /** Its name is the one that gateways look for. */
  readonly file: string;
  /** The version it is made from, and how many gateways run that. */
  readonly from: string;
  readonly gateways: number;
}

interface Wanted {
  readonly product: string;
  readonly file: string;
  readonly id: string;
  /** Names of patches that are there. */
  readonly have: ReadonlySet<string>;
}

/**
 * Hands each patch to `take` as soon as it is made; its file is gone afterwards. Of a version without a patch it is said why, and
 * the tarball is uploaded all the same. Throws CANCELLED.
 */
export async function makeFleetPatches(
  call: CommandCall,
  { product, file, id, have }: Wanted,
  take: (patch: FleetPatch) => Promise<void>,
): Promise<void> {
  const artifact = matchArtifactName(id);
  const next = indexOf(file);
  if (artifact === undefined || next === undefined) return;
  const versions = await commonVersions(call, product, artifact);
  if (versions.length === 0) return;
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-patches-'));
  try {
    lowerPriority();
    for (const [from, gateways] of versions) {
      const made = await tryPatch(call, { product, file, next, have, scratch, from });
      if (made !== undefined) await take({ ...made, from, gateways });
    }
  } finally {
    removeTree(scratch);
  }
}

function indexOf(file: string): ArtifactIndex | undefined {
  try {
    return readIndexFile(file, DEFAULT_LIMITS).index;
  } catch {
    return undefined;
  }
}

/** Those that run, the commonest first, with the number of their gateways. A platform that does not know makes it none. */
async function commonVersions(
  call: CommandCall,
  product: string,
  { name, version }: { name: string; version: string },
): Promise<[version: string, gateways: number][]> {
  const reply = await openClient(call).call('GET', `/gwe/v2/products/${pathSegment(product)}/status`);
  const status = v.safeParse(STATUS, reply.status === 200 ? parse(reply.text) : undefined);
  const found = Object.entries(status.success ? (status.output.apps[name] ?? {}) : {});
  const all = found.reduce((sum, [, count]) => sum + count, 0);
  return found
    .filter(([other, count]) => other !== version && (count >= LEAST_GATEWAYS || count >= all * LEAST_SHARE))
    .sort(([, a], [, b]) => b - a)
    .slice(0, MOST_VERSIONS);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface Pair {
  readonly product: string;
  readonly file: string;
  readonly next: ArtifactIndex;
  readonly have: ReadonlySet<string>;
  readonly scratch: string;
  readonly from: string;
}

async function tryPatch(
  call: CommandCall,
  { product, file, next, have, scratch, from }: Pair,
): Promise<(PairResult & { file: string }) | undefined> {
  const { signal, clock } = call.io;
  const oldId = renderArtifactName({ name: next.manifest.name, version: from });
  const old = join(scratch, oldId);
  const [bounded, over] = [new AbortController(), new AbortController()];
  void clock.sleep(LONGEST_MS, over.signal).then(() => over.signal.aborted || bounded.abort());
  try {
    const path = `/provision/manage/content/${pathSegment(product)}/${pathSegment(oldId)}?download=true`;
    if (!(await openClient(call).download(path, old)))
      return without(call, from, 'it is not in the content area');
    const before = indexOf(old);
    if (before === undefined) return without(call, from, 'it was packed without chunks');
    const name = patchName(next.manifest, before.digest, next.digest);
    if (have.has(name)) return undefined;
    const made = await makePairPatch(old, file, {
      output: join(scratch, name),
      signal: AbortSignal.any([signal, bounded.signal]),
      onPlan({ memoryBytes }) {
        if (memoryBytes > totalmem() * MEMORY_SHARE)
          throw new GweError('ARTIFACT_PATCH', `it takes about ${renderBytes(memoryBytes)} of memory`);
      },
    });
    const isWorth = made.file !== undefined && made.patchedBytes < made.chunkedBytes * WORTH;
    if (made.file === undefined || !isWorth)
      return without(call, from, 'it would save too little over chunks');
    return { ...made, file: made.file };
  } catch (error) {
    if (signal.aborted) throw error;
    return without(
      call,
      from,
      bounded.signal.aborted ? 'it takes more than 15 minutes' : describeError(error),
    );
  } finally {
    over.abort();
  }
}

function without({ io }: CommandCall, from: string, reason: string): undefined {
  printRemark(io, `no patch from ${from}: ${reason}`);
}

/** What else this machine does goes before it, and before the upload that follows: only root may raise it again. */
function lowerPriority(): void {
  setPriority(Math.max(getPriority(), constants.priority.PRIORITY_BELOW_NORMAL));
}
