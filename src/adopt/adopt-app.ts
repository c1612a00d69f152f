/** An app of the original as a version of gwe: what its program entry says, and the files that it names. */
import { createHash } from 'node:crypto';
import { lstatSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { renderArtifactName } from '../artifact/name.ts';
import type { VersionRecord } from '../artifact/record.ts';
import { copyFileDurable, ensureDirectory, writeFileDurable } from '../base/fs.ts';
import type { Layout } from '../store/layout.ts';
import { activate, promote, resetStaging } from '../store/versions.ts';
import { soleProgram } from '../supervisor/original-entry.ts';
import { programMarker } from '../supervisor/program.ts';
import type { OriginalApp } from './find-original.ts';

const TRANSACTION = 'adopt';
/** What the system's packages bring is not the app's. */
const SYSTEM = /^\/(?:bin|sbin|lib\w*|usr\/(?:bin|sbin|lib\w*)|dev|proc|sys)\//;
/** A file of an app, not a disk image beside it. */
const LARGEST_FILE_BYTES = 64 * 1024 * 1024;

interface AdoptedApp {
  record: VersionRecord;
  /** Files that its way back restores. */
  files: string[];
}

/** Files of the app that its command names. */
export function filesOf({ app, entry }: OriginalApp): string[] {
  const command = entry && soleProgram(app, entry.text)?.findLast(({ key }) => key === 'command')?.value;
  const words = (command ?? '').split(/[\s'"]+/).filter((word) => word.startsWith('/') && !SYSTEM.test(word));
  return [...new Set(words)].filter((path) => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    return stat?.isFile() === true && stat.size <= LARGEST_FILE_BYTES;
  });
}

/** The text of the entry as gwe's own: supervisord sees the same options, and the program keeps running. */
export function ownEntryText(app: string, text: string): string {
  return `${programMarker(app)}\n${text.trimEnd()}\n`;
}

/**
 * Makes the version's directory and the link to it. May be repeated: until the caller records it, it counts for
 * nothing. `directory`: where its program has run.
 */
export function makeVersion(
  layout: Layout,
  original: OriginalApp,
  { directory, nowMs }: { directory: string; nowMs: number },
): AdoptedApp {
  const { app, version, entry } = original;
  const files = filesOf(original);
  const staging = resetStaging(layout, app, TRANSACTION);
  for (const path of files) {
    const copy = join(staging, 'files', path);
    ensureDirectory(dirname(copy));
    copyFileDurable(path, copy, statSync(path).mode & 0o777);
  }
  const script = installScript(files);
  const conf = entry === undefined ? undefined : supervisorConf(app, entry.text, directory);
  writeFileDurable(join(staging, 'install.sh'), script, 0o755);
  if (conf !== undefined) writeFileDurable(join(staging, 'supervisor.conf'), conf, 0o644);
  const digest = createHash('sha256')
    .update(JSON.stringify([app, version, script, conf]))
    .digest('hex');
  promote(layout, { app, version, digest, transactionId: TRANSACTION, rootPrefix: '' });
  activate(layout, app, { version, digest });
  return {
    files,
    record: {
      version,
      digest,
      contentId: renderArtifactName({ name: app, version }),
      hasProgram: conf !== undefined,
      installedAtMs: nowMs,
    },
  };
}

function supervisorConf(app: string, text: string, directory: string): string {
  const entries = soleProgram(app, text) ?? [];
  const lines = entries.map(({ key, value }) => `${key} = ${value.replaceAll('\n', '\n\t')}`);
  if (!entries.some(({ key }) => key === 'directory'))
    lines.push(`directory = ${directory.replaceAll('%', '%%')}`);
  return `[supervisord]\n${lines.join('\n')}\n`;
}

/** What going back to this version means: each file is there whole or as it was. */
function installScript(files: readonly string[]): string {
  const lines = files.map((path) => {
    const [to, from] = [quote(path), quote(`files${path}`)];
    return `mkdir -p ${quote(dirname(path))}\ncp -p ${from} ${quote(`${path}.gwe-new`)}\nmv ${quote(`${path}.gwe-new`)} ${to}\necho put back ${to}`;
  });
  const said =
    files.length === 0 ? ["echo 'no file of this version is known: there is nothing to restore'"] : lines;
  return `#!/bin/sh\n# Written by gwe adopt: the files that the program entry of the original named, as they were then.\nset -e\n${said.join('\n')}\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
