/** buildfile -> tarball, in the order of one-platform.md §4.11. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { GweError } from '../../base/errors.ts';
import { runInteractive } from '../../base/process.ts';
import { quote } from '../faults.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import { META_DIRECTORY } from '../manifest/meta-files.ts';
import type { Signer } from '../manifest/signature.ts';
import { renderArtifactName } from '../name.ts';
import type { Buildfile } from './buildfile.ts';
import type { PackResult } from './pack.ts';
import { packIndexed } from './pack-indexed.ts';
import { planPaths } from './plan-tree.ts';
import { findLeftOut, selectFiles } from './select-files.ts';

/** What a build that was killed left behind. */
const TEMPORARIES = '.gwe-tmp-*';

interface BuildOptions {
  /** Absolute: includes are relative to it, commands run in it, the tarball is written into it. */
  directory: string;
  /** Environment of the commands. */
  env: Readonly<Record<string, string | undefined>>;
  signal?: AbortSignal;
  /** Who signs it. */
  signers?: readonly Signer[];
  /** Called before each command is run. */
  onCommand?(line: string): void;
  /** Called with what lies in the directory and is not packed, before it is packed. */
  onLeftOut?(paths: readonly string[]): void;
  /** Called while it is packed. */
  onProgress?(doneBytes: number, totalBytes: number): void;
}

interface BuildResult extends PackResult {
  /** Absolute path of the tarball. */
  file: string;
}

/**
 * Runs the commands around the packing. Checking the tarball is the caller's: a post command may have changed it, and
 * may have deleted what it was made of. Throws ARTIFACT_BUILD when a command fails or a file cannot be packed; no
 * tarball is left then.
 */
export async function buildArtifact(buildfile: Buildfile, options: BuildOptions): Promise<BuildResult> {
  const fileName = renderArtifactName(buildfile);
  const file = join(options.directory, fileName);
  const { includes, excludes: unwanted, pre_build_cmds, post_build_cmds, ...facts } = buildfile;
  const excludes = [...unwanted, TEMPORARIES, META_DIRECTORY, fileName];
  await runCommands('pre_build_cmds', pre_build_cmds, options);
  const paths = selectFiles(options.directory, { includes, excludes });
  options.onLeftOut?.(findLeftOut(options.directory, paths, excludes));
  const entries = planPaths(options.directory, paths, DEFAULT_LIMITS);
  const { onProgress } = options;
  const content = {
    facts,
    entries,
    signers: options.signers ?? [],
    ...(onProgress === undefined ? {} : { onProgress }),
  };
  const packed = await packIndexed(file, content, options.signal);
  try {
    await runCommands('post_build_cmds', post_build_cmds, options);
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  }
  return { ...packed, file };
}

async function runCommands(
  key: 'pre_build_cmds' | 'post_build_cmds',
  commands: readonly string[],
  options: BuildOptions,
): Promise<void> {
  for (const [index, line] of commands.entries()) {
    options.onCommand?.(line);
    const end = await runInteractive(['/bin/sh', '-c', line], {
      cwd: options.directory,
      env: options.env,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (end.kind === 'exit' && end.code === 0) continue;
    if (end.kind === 'cancelled') throw new GweError('CANCELLED', `stopped ${key}[${index}]`);
    const found =
      end.kind === 'exit' ? `exit status ${end.code}` : end.kind === 'signal' ? end.signal : end.kind;
    throw new GweError(
      'ARTIFACT_BUILD',
      `cannot build: ${key}[${index}] ${quote(line)} ended with ${found}, expected 0`,
    );
  }
}
