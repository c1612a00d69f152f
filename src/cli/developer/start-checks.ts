/**
 * Whether a gateway could start the program and health.sh of a tarball. What install.sh may still put right is a
 * warning: it may make the file, or set its x bit.
 */
import { posix } from 'node:path';
import { type CheckResult, failed, passed } from '../../artifact/unpack/checks.ts';
import { splitCommand } from '../../supervisor/values.ts';
import type { PackedScripts } from './packed-scripts.ts';

const COMMAND_CHECK = 'the program of supervisor.conf can be started';
const HEALTH_CHECK = 'health.sh can be run';
const ELF = '\u007fELF';
/** With these a script sets the x bit of files that it does not name. */
const SETS_MODES = ['chmod', 'install -'];

/** With these it may make files that it does not name. */
const MAKES_FILES = ['tar ', 'unzip', 'cpio', 'make', 'pip', 'npm', 'git ', 'curl', 'wget', 'dpkg'];
/** Directories that every script names. */
const USUAL_DIRECTORIES = ['bin', 'sbin', 'lib', 'usr', 'opt', 'etc', '.'];

/** A tarball that has been read. */
interface PackedPlace {
  scripts: PackedScripts;
  /** As `ArtifactContents` has it. */
  rootPrefix: string;
}

interface StartReport {
  checks: readonly CheckResult[];
  warnings: readonly string[];
}

interface Fault {
  reason: string;
  remedy: string;
  /** Whether install.sh could do something about it. */
  isOpen: boolean;
}

/** `command` as supervisord gets it, with `./` for the version's directory. Only files of the version are looked up. */
export function checkCommand(place: PackedPlace, command: string): StartReport {
  const [word = ''] = splitCommand(command) ?? [];
  if (!word.startsWith('./') || word.includes('%')) return { checks: [], warnings: [] };
  const path = posix.normalize(word);
  return report(COMMAND_CHECK, path.startsWith('../') ? undefined : findFault(place, path, 'command'));
}

/** Nothing if there is none. */
export function checkHealthScript(place: PackedPlace): StartReport {
  const name = 'health.sh';
  if (!place.scripts.files.has(posix.join(place.rootPrefix, name))) return { checks: [], warnings: [] };
  return report(HEALTH_CHECK, findFault(place, name, 'health'));
}

function report(name: string, fault: Fault | undefined): StartReport {
  if (fault === undefined) return { checks: [passed(name)], warnings: [] };
  const { reason, remedy, isOpen } = fault;
  if (!isOpen) return { checks: [failed(name, reason, remedy)], warnings: [] };
  return {
    checks: [passed(name)],
    warnings: [`${reason}: it works only if install.sh takes care of it; ${remedy}`],
  };
}

function findFault(place: PackedPlace, path: string, role: 'command' | 'health'): Fault | undefined {
  const full = posix.join(place.rootPrefix, path);
  const file = place.scripts.files.get(full);
  const words = path.split('/').filter((part) => !USUAL_DIRECTORIES.includes(part));
  const isNamed = place.scripts.mentions(full, words);
  if (file === undefined && isBehindLink(place, path)) return undefined;
  if (file === undefined) {
    const reason = `supervisor.conf starts './${path}', which the tarball does not have`;
    const isOpen = isNamed || place.scripts.mentions(full, MAKES_FILES);
    return { reason, remedy: 'add it to "includes", or correct command', isOpen };
  }
  if (file.isLink) return undefined;
  if ((file.mode & 0o111) === 0) {
    const reason = `${path} has no x bit (mode ${file.mode.toString(8).padStart(4, '0')})`;
    const isOpen = isNamed || place.scripts.mentions(full, SETS_MODES);
    return { reason, remedy: `run chmod +x ${path} and pack it again`, isOpen };
  }
  if (file.firstLine.startsWith(ELF)) return undefined;
  if (!/^#![ \t]*\/[^\s]/.test(file.firstLine)) {
    const reason = `${path} is not a program and does not start with '#!'`;
    // A shell runs health.sh, and takes a file without an interpreter for a script of its own; supervisord does not.
    return { reason, remedy: 'make #!/bin/sh its first line', isOpen: isNamed || role === 'health' };
  }
  if (!file.firstLine.endsWith('\r')) return undefined;
  const reason = `the first line of ${path} ends in CR LF: no such interpreter`;
  return { reason, remedy: `save ${path} with LF line ends`, isOpen: isNamed };
}

/** A directory on the way is a link: what it leads to is not checked. */
function isBehindLink({ scripts, rootPrefix }: PackedPlace, path: string): boolean {
  const parts = path.split('/').slice(0, -1);
  return parts.some(
    (_, at) => scripts.files.get(posix.join(rootPrefix, ...parts.slice(0, at + 1)))?.isLink === true,
  );
}
