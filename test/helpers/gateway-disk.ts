/** A file system of its own, on a disk that reads ahead as little as a gateway's does. */
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { removeRoot } from './remove-root.ts';

export interface GatewayDisk {
  directory: string;
  /** Whether it is one; else `directory` is on whatever disk this machine has. */
  isOwn: boolean;
  remove(): void;
}

/** What Linux does by default; servers are often set to megabytes, each of which pushes others out of a small memory. */
const READ_AHEAD_KIB = 128;

/** Takes root; without it the directory is a plain one. */
export function createGatewayDisk(sizeBytes: number): GatewayDisk {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-disk-'));
  const directory = join(scratch, 'disk');
  mkdirSync(directory);
  const image = join(scratch, 'image');
  const fd = openSync(image, 'w');
  ftruncateSync(fd, sizeBytes);
  closeSync(fd);
  const isOwn = run('mkfs.ext4', '-q', '-F', image) && run('mount', '-o', 'loop', image, directory);
  if (isOwn) limitReadAhead(image);
  return {
    directory,
    isOwn,
    remove() {
      if (isOwn) run('umount', '--lazy', directory);
      removeRoot(scratch);
    },
  };
}

function limitReadAhead(image: string): void {
  const device = spawnSync('losetup', ['-n', '-O', 'NAME', '-j', image], { encoding: 'utf8' }).stdout.trim();
  if (device !== '')
    writeFileSync(`/sys/block/${basename(device)}/queue/read_ahead_kb`, String(READ_AHEAD_KIB));
}

function run(program: string, ...args: readonly string[]): boolean {
  return spawnSync(program, args, { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` } }).status === 0;
}
