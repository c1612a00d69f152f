/** The buildfile: JSON that says what goes into an app's tarball (one-platform.md §4.11). */
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';
import { readTextBounded } from '../../base/fs.ts';
import { quote } from '../faults.ts';
import { ARCHITECTURES, VERSION_NUMBER } from '../manifest/manifest.ts';
import { APP_NAME_PATTERN, APP_VERSION_PATTERN } from '../name.ts';

export interface Buildfile {
  name: string;
  version: string;
  /** Paths and globs, relative to the directory that the build runs in. */
  includes: readonly string[];
  excludes: readonly string[];
  /** Shell lines, run one after the other. */
  pre_build_cmds: readonly string[];
  post_build_cmds: readonly string[];
  /** CPUs it runs on; absent: all. */
  architectures?: string[] | undefined;
  /** The oldest gwe that can install it. */
  minimum_gwe?: string | undefined;
  /** Grows with each release: a gateway with keys installs no lower release over a higher one. */
  release?: number | undefined;
  /** The higher releases that this one may be installed over. */
  downgrade_from?: number[] | undefined;
  /** Unix seconds after which it is not installed any more. */
  expires?: number | undefined;
}

interface BuildfileProblem {
  /** `includes[2]`, or '' for the whole file. */
  key: string;
  found: string;
  expected: string;
}

const BUILDFILE_BYTES = 1024 * 1024;

export const BUILDFILE_KEYS = {
  name: 'name of the app: letters, digits, _ + -',
  version: 'version, a text like "1" or "1.2.3"; every change of it is a new version',
  includes: 'files and directories to pack, globs allowed; one is install.sh',
  excludes: 'what of these to leave out, globs allowed',
  pre_build_cmds: 'shell commands to run before packing',
  post_build_cmds: 'shell commands to run after packing',
};

/** Optional keys, which a new buildfile does not have. */
export const BUILDFILE_OPTIONS: Readonly<Record<keyof Omit<Buildfile, keyof typeof BUILDFILE_KEYS>, string>> =
  {
    architectures: 'CPUs it runs on, of x64, arm64 and armv7l; without it: all',
    minimum_gwe: 'the oldest version of gwe that can install it',
    release: 'number that grows with each release; signed, it stops downgrades',
    downgrade_from: 'higher releases that this one may be installed over',
    expires: 'Unix seconds after which it is not installed any more',
  };

const lines = (expected: string) =>
  v.array(
    v.pipe(v.string(expected), v.nonEmpty(expected), v.regex(/^[^\0]*$/, expected)),
    `a list: [${expected}]`,
  );

const wholeNumber = v.pipe(
  v.number('a whole number'),
  v.safeInteger('a whole number'),
  v.minValue(0, 'at least 0'),
);

const BuildfileSchema = v.object(
  {
    name: v.pipe(
      v.string('a text'),
      v.regex(APP_NAME_PATTERN, 'letters, digits, _ + - (1 to 64, no - or + in front)'),
    ),
    version: v.pipe(
      v.string('a text, in quotes'),
      v.regex(APP_VERSION_PATTERN, 'letters, digits, _ . + - (1 to 64)'),
    ),
    includes: v.pipe(lines('"path or glob"'), v.minLength(1, 'at least one path')),
    excludes: v.optional(lines('"path or glob"'), []),
    pre_build_cmds: v.optional(lines('"command"'), []),
    post_build_cmds: v.optional(lines('"command"'), []),
    architectures: v.optional(
      v.pipe(
        v.array(v.picklist(ARCHITECTURES, `one of ${ARCHITECTURES.join(', ')}`)),
        v.minLength(1, 'one at least'),
      ),
    ),
    minimum_gwe: v.optional(v.pipe(v.string('a text'), v.regex(VERSION_NUMBER, 'a version like "2.1"'))),
    release: v.optional(wholeNumber),
    downgrade_from: v.optional(v.pipe(v.array(wholeNumber, 'a list'), v.minLength(1, 'one at least'))),
    expires: v.optional(wholeNumber),
  },
  'an object: {"name": ..., "version": ..., "includes": [...]}',
);

/** What a new buildfile holds. */
export function defaultBuildfile(
  name = 'my_app',
  version = '1',
  includes: readonly string[] = ['install.sh'],
): Buildfile {
  return { name, version, includes, excludes: [], pre_build_cmds: [], post_build_cmds: [] };
}

export function renderBuildfile(buildfile: Buildfile): string {
  return `${JSON.stringify(buildfile, undefined, 2)}\n`;
}

/** The buildfile in `text`, or everything that is wrong with it. */
export function decodeBuildfile(text: string): { buildfile: Buildfile } | { problems: BuildfileProblem[] } {
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (error) {
    const found = `no JSON (${error instanceof Error ? error.message.replace(/\s+/g, ' ') : 'unreadable'})`;
    return { problems: [{ key: '', found, expected: 'JSON' }] };
  }
  const result = v.safeParse(BuildfileSchema, Array.isArray(json) ? A_LIST : json);
  return result.success ? { buildfile: result.output } : { problems: result.issues.map(describeIssue) };
}

/** In place of a list, which to valibot is an object without these keys. */
const A_LIST = 'a list';

function describeIssue(issue: v.BaseIssue<unknown>): BuildfileProblem {
  const path = issue.path?.map((item) => String(item.key)) ?? [];
  const key = path.map((part, at) => (at === 0 ? part : `[${part}]`)).join('');
  const shown = JSON.stringify(issue.input);
  const found = shown === undefined ? 'nothing' : issue.input === A_LIST ? 'a list' : shown.slice(0, 80);
  return { key, found, expected: issue.received === 'undefined' ? 'it to be there' : issue.message };
}

/** `cannot use buildfile 'x': key 'version': found 1, expected a text, in quotes` */
export function describeBuildfileProblem(problem: BuildfileProblem): string {
  const where = problem.key === '' ? '' : `key '${problem.key}': `;
  return `${where}found ${problem.found}, expected ${problem.expected}`;
}

/** Reads and decodes `file`. Throws ARTIFACT_BUILD that lists every problem. */
export function readBuildfile(file: string): Buildfile {
  const text = readTextBounded(file, BUILDFILE_BYTES);
  if (text === undefined) {
    throw new GweError(
      'ARTIFACT_BUILD',
      `cannot read buildfile ${quote(file)}: no such file, make one with --create-buildfile`,
    );
  }
  const decoded = decodeBuildfile(text);
  if ('buildfile' in decoded) return decoded.buildfile;
  const problems = decoded.problems.map(describeBuildfileProblem).join('; ');
  throw new GweError('ARTIFACT_BUILD', `cannot use buildfile ${quote(file)}: ${problems}`);
}

/** Whether the file at `path` is a buildfile. */
export function isBuildfile(path: string): boolean {
  try {
    return 'buildfile' in decodeBuildfile(readTextBounded(path, BUILDFILE_BYTES) ?? '');
  } catch {
    return false;
  }
}
