/**
 * Program entries of gwe that supervisord cannot start with: out of its way in conf.d.bad, until they can come back.
 */
import { existsSync } from 'node:fs';
import {
  ensureDirectory,
  listDirectory,
  readTextBounded,
  removeFileDurable,
  writeFileDurable,
} from '../base/fs.ts';
import { appOfProgramFile, badProgramFile, badProgramReason, type Layout, programFile } from './layout.ts';

type Places = Pick<Layout, 'programsDirectory' | 'programPrefix' | 'programSuffix' | 'badProgramsDirectory'>;

const REASON_LIMIT_BYTES = 16 * 1024;

/** The apps whose entries are set aside. */
export function listSetAside(layout: Places): string[] {
  if (!existsSync(layout.badProgramsDirectory)) return [];
  const apps = listDirectory(layout.badProgramsDirectory).map((name) => appOfProgramFile(layout, name));
  return apps.filter((app) => app !== undefined).sort();
}

/** What supervisord said to the entry of `app`; `undefined` where it is not set aside. */
export function reasonSetAside(layout: Places, app: string): string | undefined {
  if (!existsSync(badProgramFile(layout, app))) return undefined;
  const text = readTextBounded(badProgramReason(layout, app), REASON_LIMIT_BYTES) ?? '';
  return text.replace(/\s+/g, ' ').trim() || 'supervisord could not read it';
}

/** Moves the entry `text` of `app` out of supervisord's way. */
export function setAsideEntry(layout: Places, app: string, text: string, reason: string): void {
  ensureDirectory(layout.badProgramsDirectory);
  writeFileDurable(badProgramReason(layout, app), `${reason}\n`, 0o600);
  writeFileDurable(badProgramFile(layout, app), text, 0o600);
  removeFileDurable(programFile(layout, app));
}

export function forgetSetAside(layout: Places, app: string): void {
  for (const path of [badProgramFile(layout, app), badProgramReason(layout, app)])
    if (existsSync(path)) removeFileDurable(path);
}
