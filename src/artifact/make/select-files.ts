import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import picomatch from 'picomatch';
import { GweError } from '../../base/errors.ts';
import { quote } from '../faults.ts';
import { isBuildfile } from './buildfile.ts';
import { listTree } from './plan-tree.ts';

/** `includes` minus `excludes` -> the paths to pack. */

interface Selection {
  includes: readonly string[];
  /** A glob without a slash is matched against names at any depth. Leaving out a directory leaves out what is in it. */
  excludes: readonly string[];
}

/**
 * Paths relative to `root`, of files and directories. An include that is there as it is written is taken literally,
 * directories with all that is in them; else it is a glob, in which `*` does not match hidden names, as in a shell.
 * Throws ARTIFACT_BUILD for an include that matches nothing or lies outside of `root`.
 */
export function selectFiles(root: string, selection: Selection): string[] {
  const isExcluded = createExcluder(root, selection.excludes);
  const found = new Set<string>();
  for (const include of selection.includes) {
    const matches = expandInclude(root, include);
    if (matches.length === 0) {
      throw new GweError(
        'ARTIFACT_BUILD',
        `cannot pack ${quote(include)}: nothing there, expected a path or glob below ${quote(root)}`,
      );
    }
    for (const match of matches) {
      for (const path of listTree(root, match)) if (!isExcluded(path)) found.add(path);
    }
  }
  return [...found];
}

/** Files of one of these names are not the app's: what is made from it, what describes it, and what is hidden. */
const BESIDE_APP = ['.*', '*.tar.gz', '*.tgz', '*.patch', 'README*', 'LICENSE*', 'Makefile'];

/** What lies in `root` itself, is the app's by its name, and is neither packed nor left out on purpose. */
export function findLeftOut(root: string, packed: readonly string[], excludes: readonly string[]): string[] {
  const tops = new Set(packed.map((path) => path.split('/', 1)[0]));
  return listCandidates(root, excludes).filter((name) => !tops.has(name));
}

/** What a buildfile for the files in `root` includes, if install.sh is among them. */
export function proposeIncludes(root: string): string[] {
  const found = listCandidates(root, []);
  return found.includes('install.sh') ? found : ['install.sh'];
}

function listCandidates(root: string, excludes: readonly string[]): string[] {
  const isExcluded = createExcluder(root, [...excludes, ...BESIDE_APP]);
  return readdirSync(root)
    .filter((name) => !isExcluded(name) && !(name.endsWith('.json') && isBuildfile(join(root, name))))
    .sort();
}

function expandInclude(root: string, include: string): string[] {
  const pattern = belowRoot(root, include);
  if (pattern === '' || existsSync(join(root, pattern)) || isLink(join(root, pattern))) return [pattern];
  const { base, isGlob } = picomatch.scan(pattern);
  if (!isGlob || !existsSync(join(root, base))) return [];
  const matches = picomatch(pattern, { dot: false });
  return listTree(root, base).filter((path) => matches(path));
}

/** `./x`, `x/` and an absolute path inside `root` all mean `x`. */
function belowRoot(root: string, given: string): string {
  const path = isAbsolute(given) ? relative(root, given) : given;
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (!parts.includes('..')) return parts.join('/');
  throw new GweError(
    'ARTIFACT_BUILD',
    `cannot pack ${quote(given)}: outside of ${quote(root)}, expected a path below it; build from a directory further up, or copy it with a pre_build_cmds command`,
  );
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function createExcluder(root: string, excludes: readonly string[]): (path: string) => boolean {
  const patterns = excludes.map((exclude) => belowRoot(root, exclude));
  const literal = new Set(patterns);
  const globs = patterns.map((pattern) => picomatch(pattern, { dot: true, basename: true }));
  return (path) =>
    ancestors(path).some((each) => literal.has(each) || globs.some((matches) => matches(each)));
}

/** `a/b/c` -> `a`, `a/b`, `a/b/c` */
function ancestors(path: string): string[] {
  const parts = path.split('/');
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'));
}
