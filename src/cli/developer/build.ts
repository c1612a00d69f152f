/** The commands of an app developer: buildfiles, tarballs and their checks (one-platform.md §4.10, §4.11). */
import { existsSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { buildArtifact } from '../../artifact/make/build.ts';
import {
  BUILDFILE_KEYS,
  BUILDFILE_OPTIONS,
  type Buildfile,
  decodeBuildfile,
  defaultBuildfile,
  describeBuildfileProblem,
  readBuildfile,
  renderBuildfile,
} from '../../artifact/make/buildfile.ts';
import { proposeIncludes } from '../../artifact/make/select-files.ts';
import type { Signer } from '../../artifact/manifest/signature.ts';
import type { CheckResult } from '../../artifact/unpack/checks.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { writeFileDurable } from '../../base/fs.ts';
import type { CommandIo } from '../shell/command.ts';
import { absolutePath } from '../shell/path.ts';
import { openMeter } from '../shell/progress-bar.ts';
import { printDocument, printLabelled, printParagraph, printRemark } from '../shell/screen.ts';
import { checkTarballFile } from './build-checks.ts';

export interface CreateBuildfileOptions {
  /** Path of the new file; my_app.json. */
  file?: string;
  name?: string;
  version?: string;
}

/** What a build does besides packing. */
export interface BuildExtras {
  signers?: readonly Signer[];
  /** Tarballs of older versions to make patches from. */
  patchFrom?: readonly string[];
  /** A document in place of the path. */
  isJson?: boolean;
}

/** Functions behind the flag-style commands; each returns the exit status or throws GweError. */
export const buildActions = {
  createBuildfile,
  checkBuildfile,
  buildApp,
  buildAppTarball,
  checkTarball,
} as const;

/**
 * `--create-buildfile`: prompts for file, name and version, or takes them from `options`; when one of these is given
 * nothing is asked. Refuses to replace a file.
 */
async function createBuildfile(io: CommandIo, options: CreateBuildfileOptions): Promise<number> {
  const isGiven = Object.values(options).some((value) => value !== undefined);
  const answers = isGiven ? options : await askForBuildfile(io);
  const file = absolutePath(io, answers.file ?? 'my_app.json');
  const includes = existsSync(dirname(file)) ? proposeIncludes(dirname(file)) : undefined;
  const buildfile = defaultBuildfile(answers.name, answers.version, includes);
  const decoded = decodeBuildfile(renderBuildfile(buildfile));
  if ('problems' in decoded) {
    const problems = decoded.problems.map(describeBuildfileProblem).join('; ');
    throw new GweError('USAGE_BAD_VALUE', `cannot create buildfile: ${problems}`);
  }
  if (existsSync(file)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot create buildfile '${file}': it exists, expected a new name`,
    );
  }
  writeFileDurable(file, renderBuildfile(buildfile));
  io.stdout(`Created ${file}\n\nIts keys:\n`);
  for (const [key, meaning] of Object.entries(BUILDFILE_KEYS)) printLabelled(io, `  ${key}`, meaning, 19);
  io.stdout('\nIt may also have:\n');
  for (const [key, meaning] of Object.entries(BUILDFILE_OPTIONS)) printLabelled(io, `  ${key}`, meaning, 19);
  io.stdout('\n');
  printParagraph(
    io,
    `It packs ${buildfile.includes.join(', ')}. When that is right: gwe --build-app ${file}`,
  );
  return 0;
}

/**
 * An empty answer, and the end of the input, mean the default in brackets; an unusable one is asked for again,
 * as long as there is somebody to answer. Throws CANCELLED on Ctrl-C.
 */
async function askForBuildfile(io: CommandIo): Promise<CreateBuildfileOptions> {
  const answers = createInterface({ input: io.stdin, signal: io.signal })[Symbol.asyncIterator]();
  const ask = async (question: string, byDefault: string, fault: Fault): Promise<string> => {
    io.stderr(`${question} [${byDefault}]: `);
    const { value, done } = await answers.next();
    if (io.signal.aborted) throw new GweError('CANCELLED', 'interrupted: no buildfile was created');
    const answer = done === true || value.trim() === '' ? byDefault : value.trim();
    const found = done === true ? undefined : fault(answer);
    if (found === undefined) return answer;
    io.stderr(`gwe: ${found}\n`);
    return ask(question, byDefault, fault);
  };
  try {
    const file = await ask('Name of the buildfile', 'my_app.json', (answer) => fileFault(io, answer));
    const name = await ask('Name of the app', 'my_app', (answer) => fieldFault({ name: answer }));
    const version = await ask('Version of the app', '1', (answer) => fieldFault({ version: answer }));
    return { file, name, version };
  } finally {
    await answers.return?.();
  }
}

/** What is wrong with an answer. */
type Fault = (answer: string) => string | undefined;

function fileFault(io: CommandIo, file: string): string | undefined {
  return existsSync(absolutePath(io, file)) ? `'${file}' exists, expected a new name` : undefined;
}

function fieldFault({ name, version }: { name?: string; version?: string }): string | undefined {
  const decoded = decodeBuildfile(renderBuildfile(defaultBuildfile(name, version)));
  return 'problems' in decoded ? decoded.problems.map(describeBuildfileProblem).join('; ') : undefined;
}

/** `--check-buildfile FILE` */
async function checkBuildfile(io: CommandIo, file: string): Promise<number> {
  try {
    readBuildfile(absolutePath(io, file));
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    printParagraph(io, `[FAIL] ${describeError(error)}`);
    return 1;
  }
  io.stdout(`[PASS] buildfile ${file}\n`);
  return 0;
}

/** `--build-app FILE`: nothing but the path of the tarball on stdout, and only if it passes every check. */
async function buildApp(io: CommandIo, file: string, extras: BuildExtras = {}): Promise<number> {
  return build(io, readBuildfile(absolutePath(io, file)), extras);
}

/** `-y -n NAME -s VERSION`: all that is in the current directory, hidden names left out. */
async function buildAppTarball(
  io: CommandIo,
  identity: { name?: string; version?: string },
  extras: BuildExtras = {},
): Promise<number> {
  const { name, version } = identity;
  if (name === undefined || version === undefined) {
    const missing = name === undefined ? '--app-name (-n)' : '--app-version (-s)';
    throw new GweError('USAGE_MISSING', `cannot build the tarball: ${missing} is missing`);
  }
  const buildfile = { ...defaultBuildfile(name, version), includes: ['*'], excludes: [`${name}.v*.tar.gz`] };
  const decoded = decodeBuildfile(renderBuildfile(buildfile));
  if ('buildfile' in decoded) return build(io, decoded.buildfile, extras);
  const problems = decoded.problems.map(describeBuildfileProblem).join('; ');
  throw new GweError('USAGE_BAD_VALUE', `cannot build the tarball: ${problems}`);
}

async function build(
  io: CommandIo,
  buildfile: Buildfile,
  { signers = [], patchFrom = [], isJson = false }: BuildExtras,
): Promise<number> {
  const meter = openMeter(io, 'packing', isJson);
  const { file } = await buildArtifact(buildfile, {
    directory: absolutePath(io, '.'),
    env: io.env,
    signal: io.signal,
    signers,
    onCommand: (line) => io.stderr(`+ ${line}\n`),
    onLeftOut: (paths) => tellLeftOut(io, paths),
    onProgress: meter.move,
  }).finally(meter.end);
  try {
    await requireGoodTarball(io, file);
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  }
  for (const old of patchFrom) await makePatch(io, absolutePath(io, old), file);
  if (isJson)
    printDocument(io, {
      file,
      name: buildfile.name,
      appVersion: buildfile.version,
      sizeBytes: statSync(file).size,
    });
  else io.stdout(`${file}\n`);
  return 0;
}

/** Whatever it is, the app goes out without it. */
function tellLeftOut(io: CommandIo, paths: readonly string[]): void {
  for (const path of paths.filter((each) => each in LEFT_OUT_EFFECTS))
    printRemark(io, `[WARN] ${path} is here and not in "includes": ${LEFT_OUT_EFFECTS[path]}`);
  const others = paths.filter((path) => !(path in LEFT_OUT_EFFECTS));
  const more = others.length > MOST_NAMES ? ` and ${others.length - MOST_NAMES} more` : '';
  if (others.length > 0)
    printRemark(io, `not in "includes", left out: ${others.slice(0, MOST_NAMES).join(', ')}${more}`);
}

const MOST_NAMES = 10;
const LEFT_OUT_EFFECTS: Readonly<Record<string, string>> = {
  'supervisor.conf': 'the gateway starts no program',
  'health.sh': 'the gateway does not check whether the app works',
};

async function requireGoodTarball(io: CommandIo, file: string): Promise<void> {
  const { checks, warnings } = await checkTarballFile(file);
  for (const warning of warnings) printRemark(io, `[WARN] ${warning}`);
  const faults = checks.filter((check) => !check.passed);
  for (const fault of faults) printRemark(io, renderCheck(fault));
  if (faults.length > 0) {
    throw new GweError(
      'ARTIFACT_BUILD',
      `cannot use tarball '${file}': ${faults[0]?.reason}, see above; it was removed`,
    );
  }
}

/** stdout belongs to the path of the tarball: everything else goes to stderr. */
async function makePatch(io: CommandIo, oldFile: string, newFile: string): Promise<void> {
  const { patchPair, printSizes } = await import('./patch.ts');
  io.stderr(`patch from ${oldFile}\n`);
  printSizes(io, await patchPair(io, oldFile, newFile, { isQuiet: false }), io.stderr);
}

/** `--check-tarball FILE`: a line per check; 1 if one failed. */
async function checkTarball(io: CommandIo, file: string): Promise<number> {
  const { checks, warnings } = await checkTarballFile(absolutePath(io, file));
  for (const check of checks) printParagraph(io, renderCheck(check), 2, check.passed ? 'good' : 'bad');
  for (const warning of warnings) printParagraph(io, `[WARN] ${warning}`);
  return checks.every((check) => check.passed) ? 0 : 1;
}

function renderCheck(check: CheckResult): string {
  return check.passed ? `[PASS] ${check.name}` : `[FAIL] ${check.reason} - ${check.remedy}`;
}
