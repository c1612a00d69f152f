/** Bind mounts that a test makes, and takes away before anything removes the directories they are in. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/** Shows `source` at `target`, which is made; the caller unmounts it with `unmount`. */
export function bindMount(source: string, target: string): void {
  mkdirSync(target, { recursive: true });
  execFileSync('mount', ['--bind', source, target]);
}

export function unmount(target: string): void {
  execFileSync('umount', ['-l', target]);
}
