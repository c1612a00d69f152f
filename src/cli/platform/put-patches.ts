/**
 * Patches to a tarball that is about to be uploaded, from the versions that the fleet runs. They are made on this
 * machine from what is in the content area, and are uploaded first, so that a gateway that hears of the tarball finds
 * them.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir, totalmem } from 'node:os';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import { matchArtifactName } from '../../artifact/name.ts';
import { removeTree } from '../../base/remove-tree.ts';
import { commonVersions } from '../../fleet/patch/patch-job.ts';
import type { CommandCall } from '../shell/command.ts';
import { printRemark } from '../shell/screen.ts';
import { indexOf, lowerPriority, type MadePatch, patchFrom } from './pair-patch.ts';
import { openClient, pathSegment } from './platform-options.ts';

const LONGEST_MS = 15 * 60 * 1000;
/** The share of this machine's memory that making a patch may use. */
const MEMORY_SHARE = 0.5;

const STATUS = v.looseObject({ apps: v.record(v.string(), v.record(v.string(), v.number())) });

export interface FleetPatch extends MadePatch {
  /** The version that the patch starts from, and how many gateways run it. */
  readonly from: string;
  readonly gateways: number;
}

interface Wanted {
  readonly product: string;
  readonly file: string;
  readonly id: string;
  /** Names of the patches that are already there. */
  readonly have: ReadonlySet<string>;
}

/**
 * Hands each patch to `take` as soon as it is made; its file is removed afterwards. Where a patch cannot be made, the
 * reason is printed, and the tarball is uploaded all the same. Throws CANCELLED.
 */
export async function makeFleetPatches(
  call: CommandCall,
  { product, file, id, have }: Wanted,
  take: (patch: FleetPatch) => Promise<void>,
): Promise<void> {
  const artifact = matchArtifactName(id);
  const next = indexOf(file);
  if (artifact === undefined || next === undefined) return;
  const versions = await versionsOf(call, product, artifact);
  if (versions.length === 0) return;
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-patches-'));
  const bounds = { longestMs: LONGEST_MS, memoryBytes: totalmem() * MEMORY_SHARE };
  try {
    lowerPriority();
    for (const [from, gateways] of versions) {
      const made = await patchFrom(call, from, { product, file, next, scratch }, bounds);
      if ('without' in made) printRemark(call.io, `no patch from ${from}: ${made.without}`);
      else if (!have.has(basename(made.file))) await take({ ...made, from, gateways });
    }
  } finally {
    removeTree(scratch);
  }
}

/** The versions in use, the commonest first. None from a platform that does not have this call. */
async function versionsOf(
  call: CommandCall,
  product: string,
  { name, version }: { name: string; version: string },
): Promise<(readonly [version: string, gateways: number])[]> {
  const reply = await openClient(call).call('GET', `/gwe/v2/products/${pathSegment(product)}/status`);
  const status = v.safeParse(STATUS, reply.status === 200 ? parse(reply.text) : undefined);
  const found = status.success ? (status.output.apps[name] ?? {}) : {};
  return commonVersions(Object.entries(found), version);
}

const PATCHES = v.looseObject({
  workers: v.number(),
  patches: v.array(
    v.looseObject({ app: v.string(), version: v.string(), from: v.string(), state: v.string() }),
  ),
});

/** Whether workers make the patches. A platform that does not have this call has no workers. */
export async function hasWorkers(call: CommandCall, product: string): Promise<boolean> {
  const reply = await openClient(call).call('GET', `/gwe/v2/products/${pathSegment(product)}/patches`);
  const found = v.safeParse(PATCHES, reply.status === 200 ? parse(reply.text) : undefined);
  return found.success && found.output.workers > 0;
}

/** Leaves the patches to the workers of the platform, and says which are to come. */
export async function askForPatches(call: CommandCall, product: string, id: string): Promise<void> {
  const artifact = matchArtifactName(id);
  if (artifact === undefined) return;
  const path = `/gwe/v2/products/${pathSegment(product)}/patches`;
  const reply = await openClient(call).call('POST', path, JSON.stringify({ artifact: id }));
  const found = v.safeParse(PATCHES, reply.status === 200 ? parse(reply.text) : undefined);
  if (!found.success) {
    printRemark(call.io, `no patches are made: the platform answered ${reply.status}`);
    return;
  }
  const open = found.output.patches.filter(
    ({ app, version, state }) => app === artifact.name && version === artifact.version && state === 'open',
  );
  if (open.length > 0)
    printRemark(
      call.io,
      `patches from ${open.map(({ from }) => from).join(', ')} are left to the platform's workers`,
    );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
