/** What the rows are measured on: a platform in a process of its own, and gateways that know it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { createGateway, EXECUTABLE } from '../helpers/gateway.ts';
import { operatorCalls, type TestPlatform } from '../helpers/platform.ts';

export { EXECUTABLE };

const TOKEN = 'bench-token-0123456789';
export const PRODUCT = 'p1';

export interface Site {
  /** Below it lies all that the bench makes; removed by `close`. */
  scratch: string;
  platform: TestPlatform;
  close(): Promise<void>;
}

export async function openSite(scratch: string): Promise<Site> {
  const directory = mkdtempSync(join(scratch, 'platform-'));
  const program = join(import.meta.dirname, '../helpers/platform-child.ts');
  const child = spawn(process.execPath, ['--no-warnings', program, directory, TOKEN], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await firstLine(child);
  const close = async (): Promise<void> => {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  const known = { url, adminUrl: url, token: TOKEN, directory, caFile: undefined };
  const platform = { ...known, ...operatorCalls(url, TOKEN), close };
  return { scratch, platform, close };
}

function firstLine(child: ChildProcess): Promise<string> {
  let printed = '';
  return new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error('the platform ended')));
    child.stdout?.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.includes('\n')) resolve(printed.trim());
    });
  });
}

export interface Template {
  serial: string;
  cik: string;
  /** A fresh root of the same gateway, on which nothing is installed. */
  root(): string;
}

/** A gateway that is activated and has said all that a first check-in says. */
export async function makeTemplate(site: Site, serial: string): Promise<Template> {
  const gateway = await createGateway(site.platform, {
    command: [EXECUTABLE],
    product: PRODUCT,
    serial,
    directory: site.scratch,
  });
  for (let round = 0; round < 2; round++) {
    const { status, stderr } = gateway.gwe('--once');
    if (status !== 0) throw new Error(`gwe --once: ${stderr}`);
  }
  const cik = gateway.gwe('-C').stdout.trim();
  return {
    serial,
    cik,
    root() {
      const root = mkdtempSync(join(site.scratch, 'root-'));
      cpSync(gateway.root, root, { recursive: true, verbatimSymlinks: true });
      return root;
    },
  };
}

/** What is on the disk goes there now, so that it is not on somebody else's time. */
export function settle(): void {
  spawnSync('sync');
}

/** Paths, kinds, sizes, execute bits and contents below `directory`; what gwe adds for itself does not count. */
export function treeDigest(directory: string): string {
  const hash = createHash('sha256');
  const visit = (path: string): void => {
    for (const name of readdirSync(join(directory, path)).sort()) {
      const at = path === '' ? name : `${path}/${name}`;
      if (at === '.gwe') continue;
      const stat = lstatSync(join(directory, at));
      if (stat.isDirectory()) visit(at);
      else if (stat.isSymbolicLink()) hash.update(`${at} -> ${readlinkSync(join(directory, at))}\n`);
      else {
        const content = createHash('sha256')
          .update(readFileSync(join(directory, at)))
          .digest('hex');
        hash.update(`${at} ${stat.size} ${(stat.mode & 0o100) !== 0} ${content}\n`);
      }
    }
  };
  if (existsSync(directory)) visit('');
  return hash.digest('hex').slice(0, 16);
}
