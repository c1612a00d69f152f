/** RAUC: a signed squashfs bundle with a tarball for an ext4 slot, which is a file here. No bootloader (`noop`). */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../helpers/until.ts';
import { resting } from '../resting.ts';
import { shell, shellAside } from '../shell.ts';
import { settle, treeDigest } from '../site.ts';
import { makeSigner, type Peer } from './peer.ts';

const SLOT_BYTES = 600 * 2 ** 20;
const REST_MS = 2000;

export const RAUC: Peer = {
  name: 'rauc',
  idle: (directory) => ({
    name: 'rauc',
    what: "Debian's package, `rauc service`, without its D-Bus daemon (it does not poll: something else tells it)",
    async run() {
      const { certFile } = makeSigner(directory);
      const service = await startService(directory, certFile);
      const pss = await resting(service.child, REST_MS);
      await service.close();
      return pss;
    },
  }),
  async install(directory, { tarball, offer }) {
    const { certFile } = prepare(directory, tarball);
    const fetch = await offer(join(directory, 'bench.raucb'));
    const service = await startService(directory, certFile);
    const script = `${fetch} > file.raucb && rauc -c system.conf install file.raucb > /dev/null && sync slot.img`;
    let work = '';
    const contender = {
      name: 'rauc, signed bundle',
      what: '`curl > file.raucb`, `rauc install file.raucb` (checks the signature, makes an ext4 file system in a file, unpacks the tarball into it), `sync`',
      async run() {
        settle();
        const before = performance.now();
        const cd = `cd "$1" && export DBUS_SYSTEM_BUS_ADDRESS="$2"`;
        await shellAside(`${cd} && ${script}`, directory, service.address);
        const seconds = (performance.now() - before) / 1000;
        work = slotDigest(directory);
        return { seconds };
      },
      work: () => work,
    };
    return { contender, close: service.close };
  },
};

/** Makes `bench.raucb` below `directory`. */
function prepare(directory: string, tarball: string): { certFile: string } {
  const { keyFile, certFile } = makeSigner(directory);
  const input = join(directory, 'input');
  mkdirSync(input);
  copyFileSync(tarball, join(input, 'tree.tar.gz'));
  const manifest = '[update]\ncompatible=bench\nversion=1\n\n[image.rootfs]\nfilename=tree.tar.gz\n';
  writeFileSync(join(input, 'manifest.raucm'), manifest);
  shell(
    'rauc --cert "$1" --key "$2" bundle "$3" "$4" 2>&1',
    certFile,
    keyFile,
    input,
    join(directory, 'bench.raucb'),
  );
  rmSync(input, { recursive: true });
  return { certFile };
}

/** With a system bus of its own: this machine's has other things to do, if it is there. */
async function startService(
  directory: string,
  certFile: string,
): Promise<{ child: ChildProcess; address: string; close(): Promise<void> }> {
  const at = (name: string): string => join(directory, name);
  const address = `unix:path=${at('bus')}`;
  writeFileSync(at('bus.conf'), busConfig(address));
  writeFileSync(at('system.conf'), systemConfig(directory, certFile));
  for (const [name, size] of [
    ['booted.img', 2 ** 20],
    ['slot.img', SLOT_BYTES],
  ] as const) {
    writeFileSync(at(name), '');
    truncateSync(at(name), size);
  }
  const bus = spawn('dbus-daemon', ['--config-file', at('bus.conf'), '--nofork'], { stdio: 'ignore' });
  await until(() => existsSync(at('bus')));
  const child = spawn('rauc', ['-c', at('system.conf'), '--override-boot-slot=A', 'service'], {
    env: { PATH: process.env.PATH ?? '', DBUS_SYSTEM_BUS_ADDRESS: address },
    stdio: 'ignore',
  });
  const isThere = (): boolean =>
    spawnSync('rauc', ['-c', at('system.conf'), 'status'], {
      env: { PATH: process.env.PATH ?? '', DBUS_SYSTEM_BUS_ADDRESS: address },
    }).status === 0;
  await until(isThere);
  return {
    child,
    address,
    async close() {
      await ended(child);
      await ended(bus);
      rmSync(at('slot.img'), { force: true });
      rmSync(at('bus'), { force: true });
    },
  };
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('close', () => resolve());
    child.kill('SIGTERM');
  });
}

function slotDigest(directory: string): string {
  const look = join(directory, 'look');
  mkdirSync(look, { recursive: true });
  shell('mount -o loop,ro "$1" "$2"', join(directory, 'slot.img'), look);
  try {
    return treeDigest(look);
  } finally {
    shell('umount "$1"', look);
  }
}

function systemConfig(directory: string, certFile: string): string {
  return `[system]
compatible=bench
bootloader=noop
mountprefix=${join(directory, 'mnt')}
statusfile=${join(directory, 'status')}

[keyring]
path=${certFile}

[slot.rootfs.0]
device=${join(directory, 'booted.img')}
type=ext4
bootname=A

[slot.rootfs.1]
device=${join(directory, 'slot.img')}
type=ext4
bootname=B
`;
}

function busConfig(address: string): string {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>${address}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow send_destination="*"/><allow eavesdrop="true"/></policy></busconfig>
`;
}
