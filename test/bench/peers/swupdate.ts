/** SWUpdate: a signed cpio archive whose handler unpacks a tarball into a directory. It has no bootloader to tell here. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { resting } from '../resting.ts';
import { shell, shellAside } from '../shell.ts';
import { settle, treeDigest } from '../site.ts';
import { makeSigner, type Peer } from './peer.ts';

const OPTIONS = '-l 1 -H bench:1.0 -M -m';
const REST_MS = 3000;

export const SWUPDATE: Peer = {
  name: 'swupdate',
  idle: (directory) => ({
    name: 'swupdate',
    what: "Debian's package, `swupdate -u` (suricatta) with a hawkBit that refuses connections",
    run() {
      const { certFile } = makeSigner(directory);
      const hawkbit = '-t default -u http://127.0.0.1:9 -i bench -p 14400';
      const args = [...OPTIONS.split(' '), '-k', certFile, '-u', hawkbit];
      const env = { PATH: process.env.PATH ?? '', TMPDIR: directory };
      return resting(spawn('swupdate', args, { env, stdio: 'ignore' }), REST_MS);
    },
  }),
  async install(directory, { tarball, offer }) {
    const { certFile } = prepare(directory, tarball);
    const fetch = await offer(join(directory, 'bench.swu'));
    const tree = join(directory, 'tree');
    const script = `${fetch} > file.swu && swupdate ${OPTIONS} -k "$1" -i file.swu > /dev/null && sync -f tree`;
    let work = '';
    const contender = {
      name: 'swupdate, signed archive',
      what: '`curl > file.swu`, `swupdate -i file.swu` (checks signature and digest, unpacks the tarball into a directory), `sync -f`',
      async run() {
        rmSync(tree, { recursive: true, force: true });
        mkdirSync(tree);
        settle();
        const before = performance.now();
        await shellAside(`cd "$2" && export TMPDIR="$2" && ${script}`, certFile, directory);
        const seconds = (performance.now() - before) / 1000;
        work = treeDigest(tree);
        return { seconds };
      },
      work: () => work,
    };
    return { contender, close: async () => undefined };
  },
};

/** Makes `bench.swu` below `directory`. */
function prepare(directory: string, tarball: string): { certFile: string } {
  const { keyFile, certFile } = makeSigner(directory);
  const at = (name: string): string => join(directory, name);
  copyFileSync(tarball, at('tree.tar.gz'));
  const sha256 = createHash('sha256').update(readFileSync(tarball)).digest('hex');
  writeFileSync(
    at('sw-description'),
    `software = { version = "1.0"; hardware-compatibility = ["1.0"];
  bootloader_transaction_marker = false; bootloader_state_marker = false;
  files: ({ filename = "tree.tar.gz"; type = "archive"; path = "${at('tree')}"; installed-directly = true;
    preserve-attributes = true; compressed = false; sha256 = "${sha256}"; }); }\n`,
  );
  shell(
    'openssl cms -sign -in "$1" -out "$1.sig" -signer "$2" -inkey "$3" -outform DER -nosmimecap -binary',
    at('sw-description'),
    certFile,
    keyFile,
  );
  const names = ['sw-description', 'sw-description.sig', 'tree.tar.gz'];
  writeFileSync(at('bench.swu'), cpioArchive(names.map(at)));
  rmSync(at('tree.tar.gz'));
  return { certFile };
}

/** The portable format with checksums, which is what swupdate reads; cpio(1) need not be there. */
function cpioArchive(paths: readonly string[]): Buffer {
  const entries = paths.map((path) => ({ name: basename(path), mode: 0o100644, bytes: readFileSync(path) }));
  const all = [...entries, { name: 'TRAILER!!!', mode: 0, bytes: Buffer.alloc(0) }];
  return Buffer.concat(
    all.flatMap(({ name, mode, bytes }, index) => {
      const sum = bytes.reduce((total, byte) => (total + byte) >>> 0, 0);
      const fields = [index + 1, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, name.length + 1, sum];
      const header = `070702${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
      return [padded(Buffer.from(header, 'latin1')), padded(bytes)];
    }),
  );
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
