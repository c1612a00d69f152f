/** Two versions of the same thing as trees and tarballs: published npm packages, apps made up, and two builds of gwe. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_LIMITS } from '../../../src/artifact/limits.ts';
import { packIndexed } from '../../../src/artifact/make/pack-indexed.ts';
import { listTree, planPaths } from '../../../src/artifact/make/plan-tree.ts';
import { shell } from '../shell.ts';
import { EXECUTABLE } from '../site.ts';
import { type MadeApp, writeMadeApp } from './made-apps.ts';

export interface Version {
  /** The files as they are to be installed. */
  tree: string;
  /** What `tar` makes of the tree, the same bytes each time. */
  tar: string;
  /** `gzip -6` of that. */
  plain: string;
  /** As gwe builds it; `indexedDigest` is of its manifest. */
  indexed: string;
  indexedDigest: string;
}

export interface Pair {
  name: string;
  kind: string;
  /** Short, for paths and app names. */
  slug: string;
  old: Version;
  new: Version;
  /** What `gwe patch` makes of the two indexed tarballs; `undefined` where it does not pay. */
  patch: string | undefined;
}

interface Published {
  version: string;
  integrity: string;
}

interface NpmPair {
  name: string;
  kind: string;
  package: string;
  old: Published;
  new: Published;
}

/** Where chunks save least: an update that edits a few sources and rebuilds the one program. */
const MADE_APPS: readonly {
  name: string;
  kind: string;
  app: MadeApp;
  /** Puts the program of the old version where `file` says. */
  place(file: string, pairs: readonly NpmPair[]): void;
}[] = [
  {
    name: 'an app of 20 MB, its program rebuilt',
    kind: '400 files, one of them a program of 11 MB',
    app: { slug: 'app-20', sizeBytes: 20e6, files: 400, grown: 12, edited: 5 },
    place: placePublished,
  },
  {
    name: 'an app of 200 MB, its program rebuilt',
    kind: '2,000 files, one of them a program of 127 MB',
    app: { slug: 'app-200', sizeBytes: 200e6, files: 2000, grown: 60, edited: 12 },
    place: placePinned,
  },
];

function placePublished(file: string, pairs: readonly NpmPair[]): void {
  const published = pairs.find((pair) => pair.package === '@esbuild/linux-x64');
  if (published === undefined) throw new Error('no esbuild in pairs.json');
  const unpacked = mkdtempSync(`${file}-`);
  try {
    unpackPublished(published.package, published.old, unpacked);
    copyFileSync(join(unpacked, 'bin/esbuild'), file);
  } finally {
    rmSync(unpacked, { recursive: true, force: true });
  }
}

function placePinned(file: string): void {
  shell('"$1" "$2" "$3"', process.execPath, join(import.meta.dirname, 'pinned-program.mjs'), file);
}

/** `version` of a made-up app. */
function makeApp(
  made: (typeof MADE_APPS)[number],
  version: 'old' | 'new',
  pairs: readonly NpmPair[],
): MakeTree {
  return (tree) => {
    const file = `${tree}.program`;
    made.place(file, pairs);
    writeMadeApp(tree, made.app, version, readFileSync(file));
    rmSync(file);
  };
}

/** All pairs whose name holds `only`, made once below `cache`. */
export async function makePairs(cache: string, only: string): Promise<Pair[]> {
  const listed: unknown = JSON.parse(readFileSync(join(import.meta.dirname, 'pairs.json'), 'utf8'));
  const pairs: Pair[] = [];
  const npmPairs = listed as NpmPair[];
  for (const pair of npmPairs.filter(({ name }) => name.includes(only))) {
    const slug = pair.package.replace(/[^a-z0-9]+/g, '-').replace(/^-/, '');
    const make = (published: Published) => (tree: string) => unpackPublished(pair.package, published, tree);
    pairs.push(await makePair(cache, { ...pair, slug }, make(pair.old), make(pair.new)));
  }
  for (const made of MADE_APPS.filter(({ name }) => name.includes(only))) {
    const make = (version: 'old' | 'new') => makeApp(made, version, npmPairs);
    pairs.push(await makePair(cache, { ...made, slug: made.app.slug }, make('old'), make('new')));
  }
  const own = {
    name: `gwe itself, one line changed`,
    kind: 'a runtime of 100 MB with a script in it',
    slug: 'gwe-itself',
  };
  if (own.name.includes(only)) pairs.push(await makePair(cache, own, placeBuild('old'), placeBuild('new')));
  return pairs;
}

type Facts = Pick<Pair, 'name' | 'kind' | 'slug'>;
type MakeTree = (tree: string) => void | Promise<void>;

async function makePair(cache: string, facts: Facts, makeOld: MakeTree, makeNew: MakeTree): Promise<Pair> {
  process.stderr.write(`preparing ${facts.name}\n`);
  const directory = join(cache, facts.slug);
  mkdirSync(directory, { recursive: true });
  const old = await makeVersion(directory, facts.slug, 'old', makeOld);
  const made = await makeVersion(directory, facts.slug, 'new', makeNew);
  const { name, kind, slug } = facts;
  return { name, kind, slug, old, new: made, patch: makePatch(directory, old, made) };
}

async function makeVersion(
  directory: string,
  slug: string,
  version: string,
  make: MakeTree,
): Promise<Version> {
  const tree = join(directory, version);
  if (!existsSync(tree) || slug === 'gwe-itself') {
    rmSync(tree, { recursive: true, force: true });
    mkdirSync(`${tree}.making`, { recursive: true });
    await make(`${tree}.making`);
    writeFileSync(join(`${tree}.making`, 'install.sh'), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    shell('find "$1" -exec touch -h -d @0 {} +', `${tree}.making`);
    renameSync(`${tree}.making`, tree);
  }
  const tar = join(directory, `${version}.tar`);
  const options = '--sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner';
  shell(`tar cf "$1" ${options} -C "$2" . && gzip -n -6 -k -f "$1"`, tar, tree);
  const indexed = join(directory, `${slug}.v${version}.tar.gz`);
  const entries = planPaths(tree, listTree(tree, ''), DEFAULT_LIMITS);
  const { digest } = await packIndexed(indexed, { facts: { name: slug, version }, entries });
  return { tree, tar, plain: `${tar}.gz`, indexed, indexedDigest: digest };
}

/** npm itself brings it, so that registry, proxy and CA are those that npm is set up with. */
function unpackPublished(name: string, { version, integrity }: Published, tree: string): void {
  const work = mkdtempSync(`${tree}-`);
  try {
    shell('cd "$1" && npm pack --silent "$2" && mv ./*.tgz package.tgz', work, `${name}@${version}`);
    const found = createHash('sha512')
      .update(readFileSync(join(work, 'package.tgz')))
      .digest('base64');
    if (`sha512-${found}` !== integrity)
      throw new Error(`${name}@${version} has integrity sha512-${found}, expected ${integrity} (pairs.json)`);
    shell('tar xzf "$1/package.tgz" -C "$2" --strip-components=1 && chmod -R u=rwX,go=rX "$2"', work, tree);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The executable as it is, and one with one line of its text changed. */
function placeBuild(version: 'old' | 'new'): MakeTree {
  return (tree) => {
    const file = join(tree, 'gwe');
    if (version === 'old') copyFileSync(EXECUTABLE, file);
    else shell('"$1" "$2" "$3"', process.execPath, join(import.meta.dirname, 'next-build.mjs'), file);
    chmodSync(file, 0o755);
  };
}

function makePatch(directory: string, old: Version, made: Version): string | undefined {
  const { status, stdout, stderr } = spawnSync(EXECUTABLE, ['patch', old.indexed, made.indexed, '--json'], {
    encoding: 'utf8',
    cwd: directory,
  });
  if (status !== 0) throw new Error(`gwe patch: ${stderr}`);
  const { file } = JSON.parse(stdout) as { file?: string };
  return file;
}
