/** Whether an update fits: bytes and inodes at its peak, with the reserve, on the file systems that it uses. */
import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { GweError } from '../../base/errors.ts';
import { diskSpace } from '../../base/fs.ts';
import type { AgentContext } from '../run/context.ts';

/** What an update adds to the disk; the version before stays, and the tarball goes only when all is done. */
interface Demand {
  /** Bytes of the tarball that are still to come. */
  fetchBytes: number;
  /** Bytes of the unpacked tree; 0 where they are not known. */
  unpackedBytes: number;
  /** Files, directories and links of the tree; 0 where they are not known. */
  entries: number;
  /** Bytes of the tree that are on the disk already. */
  haveBytes?: number;
}

/** One file system that the update writes to. */
export interface Room {
  /** A directory of gwe on it. */
  path: string;
  neededBytes: number;
  reserveBytes: number;
  freeBytes: number;
  neededInodes: number;
  /** Absent where the file system does not count them. */
  freeInodes?: number;
}

/** Journal, notes and links, and the directories above them: what every update makes besides the tree. */
const OWN_INODES = 16;

/** A file fills its last block of 4096 bytes by half on average. */
const LOST_BYTES_PER_ENTRY = 2048;

/** The file systems of downloads and apps, or the one that holds both, and what each has to take. */
export function surveyRooms(context: Pick<AgentContext, 'layout' | 'settings'>, demand: Demand): Room[] {
  const { downloadsDirectory, appsDirectory } = context.layout;
  const downloads = { path: downloadsDirectory, bytes: demand.fetchBytes, entries: 0 };
  const unpackedBytes = Math.max(0, demand.unpackedBytes - (demand.haveBytes ?? 0));
  const apps = { path: appsDirectory, bytes: unpackedBytes, entries: demand.entries };
  if (deviceOf(downloadsDirectory) !== deviceOf(appsDirectory)) {
    return [downloads, apps].map((part) => roomOf(context, part.path, part.bytes, part.entries));
  }
  return [roomOf(context, appsDirectory, downloads.bytes + apps.bytes, apps.entries)];
}

function roomOf(context: Pick<AgentContext, 'settings'>, path: string, bytes: number, entries: number): Room {
  const { freeBytes, freeInodes, countsInodes } = diskSpace(path);
  return {
    path,
    neededBytes: bytes + entries * LOST_BYTES_PER_ENTRY,
    reserveBytes: context.settings().diskReserveBytes,
    freeBytes,
    neededInodes: entries + OWN_INODES,
    ...(countsInodes ? { freeInodes } : {}),
  };
}

/** The device of the nearest directory above `path` that exists. */
function deviceOf(path: string): number {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return statSync(at).dev;
}

/** STORE_NO_SPACE with the numbers, or `undefined` when it fits. `what` reads `fetch 'NAME'`. */
export function lackOfRoom(what: string, rooms: readonly Room[]): GweError | undefined {
  for (const room of rooms) {
    const { freeBytes, freeInodes, neededInodes, neededBytes, reserveBytes } = room;
    const where = `on the disk of '${room.path}'`;
    if (freeBytes < neededBytes + reserveBytes) {
      return new GweError(
        'STORE_NO_SPACE',
        `cannot ${what}: ${freeBytes} bytes free ${where}, expected ${neededBytes + reserveBytes} with the reserve ` +
          `(${neededBytes} needed, ${reserveBytes} disk_reserve_bytes); nothing was changed`,
        { facts: { neededBytes, freeBytes, reserveBytes } },
      );
    }
    if (freeInodes !== undefined && freeInodes < neededInodes) {
      return new GweError(
        'STORE_NO_SPACE',
        `cannot ${what}: ${freeInodes} inodes free ${where}, expected ${neededInodes}; nothing was changed`,
        { facts: { neededInodes, freeInodes } },
      );
    }
  }
  return undefined;
}
