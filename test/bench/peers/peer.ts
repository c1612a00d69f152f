/** Other update agents: what each one needs before it can be measured, and what is asked of it. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Contender } from '../sample.ts';
import { shell } from '../shell.ts';

export interface Delivery {
  /** The tarball that gwe installs as well; it is gone after the preparation. */
  tarball: string;
  /** Puts a file where `curl` finds it: the command that fetches it to its output. */
  offer(file: string): Promise<string>;
}

export interface Peer {
  name: string;
  /** Its resident process, waiting; `undefined` where it is not installed. */
  idle(directory: string): Contender;
  /** Brings the tree of the tarball to the disk from an artifact of its own kind, signed. `close` ends what it started. */
  install(directory: string, delivery: Delivery): Promise<{ contender: Contender; close(): Promise<void> }>;
}

/** Is there a command of that name? */
export function isInstalled(command: string): boolean {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.some((folder) => folder !== '' && existsSync(join(folder, command)));
}

/** A key (RSA) and a self-signed certificate that may sign artifacts. */
export function makeSigner(directory: string): { keyFile: string; certFile: string; publicFile: string } {
  const [keyFile, certFile, publicFile] = ['key.pem', 'cert.pem', 'public.pem'].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  shell(
    'openssl genrsa -traditional -out "$1" 3072 2>/dev/null && ' +
      'openssl req -x509 -key "$1" -days 2 -subj /CN=bench -out "$2" ' +
      '-addext extendedKeyUsage=emailProtection,codeSigning && openssl rsa -in "$1" -pubout -out "$3" 2>/dev/null',
    keyFile,
    certFile,
    publicFile,
  );
  return { keyFile, certFile, publicFile };
}

/** May this process mount a file? */
export function mayMount(): boolean {
  return process.getuid?.() === 0 && spawnSync('losetup', ['-f'], { stdio: 'ignore' }).status === 0;
}
