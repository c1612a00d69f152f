/**
 * A lock file that names its owner by pid, start time and boot id, so that a dead owner is recognized.
 * It appears complete or not at all: written under a private name, then linked into place.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { GweError, systemCode, wrapError } from './errors.ts';
import { ensureDirectory, readTextBounded, removeFileDurable } from './fs.ts';
import { bootId, readProcessStat } from './process.ts';

export interface LockOwner {
  pid: number;
  startTicks: string;
  bootId: string;
  purpose: string;
}

export interface Lock {
  release(): void;
}

/**
 * Takes the lock `path`, or says who holds it. The lock of a dead process is taken over. `isOurs`: this process
 * took it before it became the present program, and keeps holding it.
 */
export function acquireLock(path: string, purpose: string, isOurs = false): Lock | { heldBy: LockOwner } {
  ensureDirectory(dirname(path));
  const mine = currentOwner(purpose);
  if (isOurs && isDeepStrictEqual(readOwner(path), mine)) return { release: () => releaseLock(path, mine) };
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    writeFileSync(temporary, JSON.stringify(mine), { flag: 'wx', mode: 0o644 });
    for (let tries = 0; tries < 10; tries++) {
      if (tryLink(temporary, path)) return { release: () => releaseLock(path, mine) };
      const owner = readOwner(path);
      if (owner !== undefined && isAlive(owner)) return { heldBy: owner };
      removeStale(path);
    }
  } catch (error) {
    throw wrapError(error, 'STORE_IO', `cannot take lock '${path}'`);
  } finally {
    removeQuietly(temporary);
  }
  throw new GweError('STORE_LOCKED', `cannot take lock '${path}': others keep taking it`);
}

/** On a read-only disk it is not there, and cannot be removed either. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What went wrong before is the news.
  }
}

/** Who holds the lock now, if anybody alive does. */
export function lockHolder(path: string): LockOwner | undefined {
  const owner = readOwner(path);
  return owner !== undefined && isAlive(owner) ? owner : undefined;
}

function tryLink(temporary: string, path: string): boolean {
  try {
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Takes a dead owner's lock away. Between reading and removing, a living owner may have taken it: what was moved
 * is checked again, and a living owner's lock is put back.
 */
function removeStale(path: string): void {
  const aside = `${path}.stale.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    renameSync(path, aside);
    const moved = readOwner(aside);
    if (moved !== undefined && isAlive(moved)) tryLink(aside, path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  } finally {
    removeFileDurable(aside);
  }
}

function releaseLock(path: string, mine: LockOwner): void {
  if (JSON.stringify(readOwner(path)) === JSON.stringify(mine)) removeQuietly(path);
}

function currentOwner(purpose: string): LockOwner {
  const startTicks = readProcessStat(process.pid)?.startTicks ?? '0';
  return { pid: process.pid, startTicks, bootId: bootId(), purpose };
}

function isAlive(owner: LockOwner): boolean {
  const stat = readProcessStat(owner.pid);
  return (
    owner.bootId === bootId() &&
    stat !== undefined &&
    stat.state !== 'Z' &&
    stat.startTicks === owner.startTicks
  );
}

function readOwner(path: string): LockOwner | undefined {
  let value: unknown;
  try {
    value = JSON.parse(readTextBounded(path, 4096) ?? 'null');
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { pid, startTicks, bootId: boot, purpose } = value as Record<string, unknown>;
  if (typeof pid !== 'number' || typeof startTicks !== 'string' || typeof boot !== 'string') return undefined;
  return { pid, startTicks, bootId: boot, purpose: typeof purpose === 'string' ? purpose : '' };
}
