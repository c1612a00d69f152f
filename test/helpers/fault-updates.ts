/** The updates that the fault tests cut short: version 2 of `one` over version 1, for each way that bytes may come. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { makePairPatch } from '../../src/artifact/patch/pair.ts';
import { appEntries, type Entries, installScript, PRODUCT, programOf } from './fault-rig.ts';
import { makeIndexed } from './indexed.ts';
import type { TestPlatform } from './platform.ts';
import { makeTarball } from './tarball.ts';

export interface FaultUpdate {
  name: string;
  /** It has a program, so a supervisord is needed. */
  isSupervised: boolean;
  /** Of version 2 on the wire: shows that the bytes came the way that is meant. */
  mostBytes: number;
  upload(platform: TestPlatform): Promise<void>;
  /** What is reported when nothing but cuts gets in its way. */
  outcome: 'installed' | 'rolled-back';
  /**
   * What may be reported as well where the power went while install.sh ran (src/agent/README.md, "The path of an
   * update").
   */
  outcomeAfterReboot?: 'installed';
  /** What people have signed, where the gateway takes nothing else. */
  signed?: SignedParts;
}

export interface SignedParts {
  settings: Readonly<Record<string, string>>;
  /** Puts the keys below a root. */
  prepare(root: string): void;
  /** The command that installs version 1. */
  first(): Promise<string>;
  /** Publishes the list that comes with the update, and signs its command. */
  begin(platform: TestPlatform): Promise<string>;
  /** What the gateway has forgotten of the update that is over. */
  forgotten(root: string): string[];
}

export function entriesOf(version: string, more: Entries = {}): Entries {
  // Long enough for a cut in the middle.
  const script = version === '1' ? {} : { 'install.sh': installScript('sleep 0.6') };
  return appEntries(version, { ...script, ...more });
}

/** Does not shrink, is the same everywhere, and every byte of it depends on `seed`. */
export function noise(seed: string, sizeBytes: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(sizeBytes / 32) }, (_, n) =>
    createHash('sha256').update(`${seed} ${n}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}

/** The same bytes in every version, except a few in each 10,000. */
function edited(version: string, sizeBytes: number): Buffer {
  const bytes = Buffer.from(noise('edited', sizeBytes));
  for (let at = 0; at + 32 < sizeBytes; at += 10_000) noise(`${version} ${at}`, 16).copy(bytes, at);
  return bytes;
}

type Maker = (version: string) => Buffer | Promise<Buffer>;

async function uploadBoth(platform: TestPlatform, make: Maker, meta?: string): Promise<void> {
  for (const version of ['1', '2'])
    await platform.putContent(PRODUCT, `one.v${version}.tar.gz`, await make(version), meta);
}

/** A digest of the whole tarball, as is left there otherwise, would have the whole fetched. */
const NO_DIGEST = '';

/** Three large files, of which each version has one of its own. */
function chunked(version: string): Promise<Buffer> {
  const entries = entriesOf(version, {
    'data/begin': { content: noise('begin', 200_000) },
    'data/blob': { content: noise(version, 70_000) },
    'data/end': { content: noise('end', 200_000) },
  });
  return makeIndexed({ name: 'one', version }, entries);
}

function patchable(version: string): Promise<Buffer> {
  return makeIndexed(
    { name: 'one', version },
    entriesOf(version, { 'data/blob': { content: edited(version, 300_000) } }),
  );
}

async function uploadPatch(platform: TestPlatform): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-pair-'));
  try {
    const files: string[] = [];
    for (const version of ['1', '2']) {
      const file = join(scratch, `one.v${version}.tar.gz`);
      writeFileSync(file, await patchable(version));
      await platform.putContent(PRODUCT, basename(file), readFileSync(file), NO_DIGEST);
      files.push(file);
    }
    const [from = '', to = ''] = files;
    const { file } = await makePairPatch(from, to, { signal: new AbortController().signal });
    if (file === undefined) throw new Error('the patch does not pay');
    await platform.putContent(PRODUCT, basename(file), readFileSync(file), NO_DIGEST);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

export const ONE_OFF: FaultUpdate = {
  name: 'a one-off',
  outcome: 'installed',
  isSupervised: false,
  mostBytes: 10_000,
  upload: (platform) => uploadBoth(platform, (version) => makeTarball(entriesOf(version))),
};

export const PROGRAM: FaultUpdate = {
  name: 'a program',
  outcome: 'installed',
  isSupervised: true,
  mostBytes: 10_000,
  upload: (platform) =>
    uploadBoth(platform, (version) =>
      makeTarball(entriesOf(version, { 'supervisor.conf': programOf(version) })),
    ),
};

export const CHUNKS: FaultUpdate = {
  name: 'chunks',
  outcome: 'installed',
  isSupervised: false,
  // Of 470,000: the rest is on the gateway.
  mostBytes: 100_000,
  upload: (platform) => uploadBoth(platform, chunked, NO_DIGEST),
};

export const PATCH: FaultUpdate = {
  name: 'a patch',
  outcome: 'installed',
  isSupervised: false,
  // Of 300,000, none of which is in a chunk that the gateway has.
  mostBytes: 30_000,
  upload: uploadPatch,
};

export const BAD: FaultUpdate = {
  name: 'a bad version',
  outcome: 'rolled-back',
  // A one-off whose install.sh was running when the power went may have cut it itself: that counts as done.
  outcomeAfterReboot: 'installed',
  isSupervised: false,
  mostBytes: 10_000,
  upload: (platform) =>
    uploadBoth(platform, (version) => {
      const script = installScript('rm -f "$root/script.pid"; exit 3');
      return makeTarball(entriesOf(version, version === '1' ? {} : { 'install.sh': script }));
    }),
};
