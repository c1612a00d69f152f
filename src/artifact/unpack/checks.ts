/** The named checks of an artifact (one-platform.md §4.5): the gateway refuses by them, `--check-tarball` prints them. */
import { basename } from 'node:path';
import { describeError, type ErrorCode, GweError } from '../../base/errors.ts';
import type { Manifest } from '../manifest/manifest.ts';
import { KEYS_APP_NAME, matchArtifactName, parseArtifactName, renderArtifactName } from '../name.ts';
import type { ArtifactContents, ArtifactFile } from './contents.ts';
import { type InspectOptions, inspectArtifact } from './extract.ts';

export interface CheckResult {
  /** What was looked at, as `[PASS] ...` shows it. */
  name: string;
  passed: boolean;
  /** Why it failed; '' if it passed. */
  reason: string;
  /** What to do about it; '' if it passed. */
  remedy: string;
}

export function passed(name: string): CheckResult {
  return { name, passed: true, reason: '', remedy: '' };
}

export function failed(name: string, reason: string, remedy: string): CheckResult {
  return { name, passed: false, reason, remedy };
}

/** What the rules of the layout look at. */
type LayoutContents = Pick<ArtifactContents, 'files' | 'rootPrefix' | 'index'>;

/** What the layout of an artifact must have to be installed. Of a set of keys nothing is run: it has its own rules. */
export function checkLayout(contents: LayoutContents): CheckResult[] {
  if (contents.index?.manifest.name === KEYS_APP_NAME) return [];
  const install = contents.files.get('install.sh');
  const results = [checkEntryPoint(contents)];
  if (install !== undefined) results.push(checkInstallScript(install));
  const program = contents.files.get('supervisor.conf');
  if (program !== undefined && program.type !== 'file') {
    const remedy = 'pack the file itself';
    results.push(failed('supervisor.conf is a file', `supervisor.conf is a ${program.type}`, remedy));
  }
  return results;
}

/** Throws ARTIFACT_LAYOUT for the first failed check. */
export function assertLayout(contents: LayoutContents): void {
  const fault = checkLayout(contents).find((check) => !check.passed);
  if (fault !== undefined) {
    throw new GweError('ARTIFACT_LAYOUT', `cannot install artifact: ${fault.reason}; ${fault.remedy}`);
  }
}

function checkEntryPoint(contents: LayoutContents): CheckResult {
  const name = 'install.sh or setup.py is there';
  if (contents.files.has('install.sh') || contents.files.has('setup.py')) return passed(name);
  const where = contents.rootPrefix === '' ? 'at the root' : `in '${contents.rootPrefix}'`;
  const remedy = 'add install.sh at the root of the tarball, or in its only top-level directory';
  return failed(name, `neither install.sh nor setup.py ${where}`, remedy);
}

function checkInstallScript(file: ArtifactFile): CheckResult {
  const name = 'install.sh can be run';
  if (file.type !== 'file') return failed(name, `install.sh is a ${file.type}`, 'pack the file itself');
  if ((file.mode & 0o100) === 0) {
    const mode = file.mode.toString(8).padStart(4, '0');
    return failed(
      name,
      `install.sh has no x bit (mode ${mode})`,
      'run chmod +x install.sh and pack it again',
    );
  }
  const firstLine = file.head.toString('latin1').split('\n', 1)[0] ?? '';
  if (!/^#![ \t]*\/[^\s]/.test(firstLine)) {
    return failed(name, "install.sh does not start with '#!'", 'make #!/bin/sh its first line');
  }
  if (firstLine.endsWith('\r')) {
    const reason = 'the first line of install.sh ends in CR LF: no such interpreter';
    return failed(name, reason, 'save install.sh with LF line ends');
  }
  return passed(name);
}

/** Which check a fault of reading belongs to, and what to do about it. */
const FAULTS: Partial<Record<ErrorCode, { name: string; remedy: string }>> = {
  ARTIFACT_FORMAT: { name: 'gzip and tar can be read to the end', remedy: 'pack or copy it again' },
  ARTIFACT_ENTRY: { name: 'entries stay inside the artifact', remedy: 'pack it so, or without this entry' },
  ARTIFACT_MANIFEST: { name: 'content is what the manifest says', remedy: 'build or sign it again' },
  ARTIFACT_LIMIT: { name: 'sizes are within the limits', remedy: 'make it smaller' },
  STORE_IO: { name: 'file can be read', remedy: 'check the path and its permissions' },
};

interface ArtifactReport {
  checks: CheckResult[];
  /** What it holds, if it could be read to the end. */
  contents?: ArtifactContents;
}

/** Every check of the file, its name included, or the one it is to have. Throws only what is no fault of the artifact. */
export async function checkArtifact(
  file: string,
  options: InspectOptions,
  name = basename(file),
): Promise<ArtifactReport> {
  const checks = [checkName(name)];
  try {
    const contents = await inspectArtifact(file, options);
    for (const code of ['ARTIFACT_FORMAT', 'ARTIFACT_ENTRY', 'ARTIFACT_LIMIT'] as const) {
      checks.push(passed(FAULTS[code]?.name ?? code));
    }
    if (contents.index !== undefined) checks.push(checkIdentity(name, contents.index.manifest));
    return { checks: [...checks, ...checkLayout(contents)], contents };
  } catch (error) {
    const fault = error instanceof GweError ? FAULTS[error.code] : undefined;
    if (fault === undefined) throw error;
    return { checks: [...checks, failed(fault.name, describeError(error), fault.remedy)] };
  }
}

function checkName(name: string): CheckResult {
  const title = 'name is NAME.vVERSION.tar.gz';
  if (matchArtifactName(name) !== undefined) return passed(title);
  try {
    parseArtifactName(name);
  } catch (error) {
    return failed(title, describeError(error), 'rename it');
  }
  return passed(title);
}

/** A renamed tarball is another one to the gateway, and its manifest does not change with its name. */
function checkIdentity(fileName: string, { name, version }: Manifest): CheckResult {
  const title = FAULTS.ARTIFACT_MANIFEST?.name ?? '';
  const expected = renderArtifactName({ name, version });
  if (fileName === expected) return passed(title);
  return failed(title, `the manifest is of '${expected}', the file is '${fileName}'`, 'give it its name');
}
