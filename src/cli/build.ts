/** The commands of an app developer: buildfiles, tarballs and their checks (spec §4.10, §4.11). */
import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildArtifact } from '../artifact/build.ts';
import {
  BUILDFILE_KEYS,
  BUILDFILE_OPTIONS,
  type Buildfile,
  decodeBuildfile,
  defaultBuildfile,
  describeBuildfileProblem,
  readBuildfile,
  renderBuildfile,
} from '../artifact/buildfile.ts';
import type { CheckResult } from '../artifact/layout.ts';
import type { Signer } from '../artifact/signature.ts';
import { describeError, GweError } from '../base/errors.ts';
import { writeFileDurable } from '../base/fs.ts';
import { checkTarballFile } from './build-checks.ts';
import type { CommandIo } from './command.ts';
import { printLabelled, printParagraph } from './screen.ts';

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
 * `--create-buildfile`: asks for file, name and version, or takes them from `options`; when one of these is given
 * nothing is asked. Refuses to replace a file.
 */
async function createBuildfile(io: CommandIo, options: CreateBuildfileOptions): Promise<number> {
  const isGiven = Object.values(options).some((value) => value !== undefined);
  const answers = isGiven ? options : await askForBuildfile(io);
  const buildfile = defaultBuildfile(answers.name, answers.version);
  const decoded = decodeBuildfile(renderBuildfile(buildfile));
  if ('problems' in decoded) {
    const problems = decoded.problems.map(describeBuildfileProblem).join('; ');
    throw new GweError('USAGE_BAD_VALUE', `cannot create buildfile: ${problems}`);
  }
  const file = absolute(io, answers.file ?? 'my_app.json');
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
  printParagraph(io, `When it says what to pack: gwe --build-app ${file}`);
  return 0;
}

/** An empty answer, and the end of the input, mean the default in brackets. */
async function askForBuildfile(io: CommandIo): Promise<CreateBuildfileOptions> {
  const answers = createInterface({ input: io.stdin })[Symbol.asyncIterator]();
  const ask = async (question: string, byDefault: string): Promise<string> => {
    io.stderr(`${question} [${byDefault}]: `);
    const { value, done } = await answers.next();
    return done === true || value.trim() === '' ? byDefault : value.trim();
  };
  const file = await ask('Name of the buildfile', 'my_app.json');
  const name = await ask('Name of the app', 'my_app');
  const version = await ask('Version of the app', '1');
  await answers.return?.();
  return { file, name, version };
}

/** `--check-buildfile FILE` */
async function checkBuildfile(io: CommandIo, file: string): Promise<number> {
  try {
    readBuildfile(absolute(io, file));
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
  return build(io, readBuildfile(absolute(io, file)), extras);
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
  { signers = [], patchFrom = [] }: BuildExtras,
): Promise<number> {
  const { file } = await buildArtifact(buildfile, {
    directory: io.cwd,
    env: io.env,
    signal: io.signal,
    signers,
    onCommand: (line) => io.stderr(`+ ${line}\n`),
  });
  const { checks, warnings } = await checkTarballFile(file);
  for (const warning of warnings) io.stderr(`[WARN] ${warning}\n`);
  const faults = checks.filter((check) => !check.passed);
  for (const fault of faults) io.stderr(`${renderCheck(fault)}\n`);
  if (faults.length > 0) {
    throw new GweError('ARTIFACT_BUILD', `cannot use tarball '${file}': ${faults[0]?.reason}, see above`);
  }
  for (const old of patchFrom) await makePatch(io, absolute(io, old), file);
  io.stdout(`${file}\n`);
  return 0;
}

/** stdout belongs to the path of the tarball: everything else is told on stderr. */
async function makePatch(io: CommandIo, oldFile: string, newFile: string): Promise<void> {
  const { patchPair, printSizes } = await import('./patch.ts');
  io.stderr(`patch from ${oldFile}\n`);
  printSizes(io, await patchPair(io, oldFile, newFile, { isQuiet: false }), io.stderr);
}

/** `--check-tarball FILE`: a line per check; 1 if one failed. */
async function checkTarball(io: CommandIo, file: string): Promise<number> {
  const { checks, warnings } = await checkTarballFile(absolute(io, file));
  for (const check of checks) printParagraph(io, renderCheck(check), 2, check.passed ? 'good' : 'bad');
  for (const warning of warnings) printParagraph(io, `[WARN] ${warning}`);
  return checks.every((check) => check.passed) ? 0 : 1;
}

function renderCheck(check: CheckResult): string {
  return check.passed ? `[PASS] ${check.name}` : `[FAIL] ${check.reason} - ${check.mend}`;
}

function absolute(io: CommandIo, path: string): string {
  return isAbsolute(path) ? path : join(io.cwd, path);
}
