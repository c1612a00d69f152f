import { rmSync } from 'node:fs';

/** Removes a directory that a process which is just ending may still write to. */
export function removeRoot(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 100, retryDelay: 20 });
}
