/** Mender's client with its update module `directory`: the tarball is a tree beside the system, not a root file system. */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { resting } from '../resting.ts';
import { shell, shellAside } from '../shell.ts';
import { settle, treeDigest } from '../site.ts';
import { makeSigner, type Peer } from './peer.ts';

const REST_MS = 4000;
/** It wants to know the name of what is installed from a fixed place, which is put there for its eyes only. */
const NAMED = 'mount -t tmpfs none /etc/mender && echo artifact_name=0 > /etc/mender/artifact_info';

export const MENDER: Peer = {
  name: 'mender',
  idle: (directory) => ({
    name: 'mender',
    what: "Debian's package, `mender daemon` with a server that refuses connections",
    run() {
      const { publicFile } = makeSigner(directory);
      const options = configure(directory, publicFile);
      const script = `${NAMED} && exec mender "$@" daemon`;
      return resting(
        spawn('unshare', ['-m', 'sh', '-c', script, 'sh', ...options], { stdio: 'ignore' }),
        REST_MS,
      );
    },
  }),
  async install(directory, { tarball, offer }) {
    const { options } = prepare(directory, tarball);
    const fetch = await offer(join(directory, 'bench.mender'));
    const tree = join(directory, 'tree');
    const script = `${NAMED} && mender "$@" install file.mender && mender "$@" commit && sync -f tree`;
    let work = '';
    const contender = {
      name: 'mender, signed artifact',
      what: '`curl > file.mender`, `mender install file.mender` (checks the signature, unpacks the tree by its module `directory`), `mender commit`, `sync -f`',
      async run() {
        rmSync(tree, { recursive: true, force: true });
        rmSync(join(directory, 'data'), { recursive: true, force: true });
        mkdirSync(join(directory, 'data'));
        settle();
        const before = performance.now();
        const unshared = `unshare -m sh -c '${script}' sh "$@" > log 2>&1 || { tail -n 5 log >&2; exit 1; }`;
        await shellAside(`cd "$1" && shift && ${fetch} > file.mender && ${unshared}`, directory, ...options);
        const seconds = (performance.now() - before) / 1000;
        work = treeDigest(tree);
        return { seconds };
      },
      work: () => work,
    };
    return { contender, close: async () => undefined };
  },
};

/** Makes `bench.mender` below `directory`. */
function prepare(directory: string, tarball: string): { options: string[] } {
  const { keyFile, publicFile } = makeSigner(directory);
  writeFileSync(join(directory, 'dest_dir'), join(directory, 'tree'));
  shell(
    'cd "$1" && gunzip -c "$2" > update.tar && mender-artifact write module-image -t bench -n 1 -T directory ' +
      '-f update.tar -f dest_dir -k "$3" -o bench.mender > log && rm update.tar',
    directory,
    tarball,
    keyFile,
  );
  return { options: configure(directory, publicFile) };
}

function configure(directory: string, publicFile: string): string[] {
  const at = (name: string): string => join(directory, name);
  mkdirSync(at('data'), { recursive: true });
  writeFileSync(at('device_type'), 'device_type=bench\n');
  const config = {
    ServerURL: 'https://127.0.0.1:9',
    ArtifactVerifyKey: publicFile,
    DeviceTypeFile: at('device_type'),
    UpdatePollIntervalSeconds: 14400,
    InventoryPollIntervalSeconds: 28800,
    RetryPollIntervalSeconds: 300,
  };
  writeFileSync(at('mender.conf'), JSON.stringify(config));
  return [
    '--config',
    at('mender.conf'),
    '--fallback-config',
    at('none'),
    '--data',
    at('data'),
    '--no-syslog',
  ];
}
