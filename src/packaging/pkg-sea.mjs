/**
 * Runs pkg's SEA step in a process of its own, on the pinned Node (pkg wants >= 22):
 * `pkg-sea.mjs JSON`, where JSON is {bundle, output, arch, version, generator}.
 *
 * pkg takes runtimes from $HOME/.pkg-cache; executable.mjs has laid the stripped one there. The blob is made by
 * `generator`, which is the target's own runtime (under qemu for a foreign CPU): a blob holds lengths of the
 * generator's word size, and a code cache of its CPU.
 */
import { createRequire } from 'node:module';
import { basename } from 'node:path';

const { default: sea } = createRequire(import.meta.url)('pkg/lib-es5/sea.js');
const { bundle, output, arch, version, generator } = JSON.parse(process.argv[2] ?? '');

/**
 * What keeps the heap of a program small that works for seconds and waits for hours: a young generation of a megabyte
 * instead of sixteen, and no compiler threads, whose memory the C library never gives back. Neither makes the runtime
 * refuse the code cache.
 */
const FRUGAL = ['--max-semi-space-size=1', '--no-concurrent-recompilation'];

// pkg uses the running Node where its version is the target's, and else the one for this machine in its cache.
process.execPath = generator;
await sea(bundle, {
  targets: [{ platform: 'linux', arch, nodeRange: `node${version}`, output }],
  // What NODE_OPTIONS says is for other programs (the armv7l runtime is too old to know this key: see src/base/startup.ts).
  // pkg works in a directory below $TMPDIR, which holds the bundle: a relative path keeps this machine's out of the file.
  seaConfig: {
    main: `../${basename(bundle)}`,
    useCodeCache: true,
    execArgv: FRUGAL,
    execArgvExtension: 'none',
  },
});
