/**
 * Runs pkg's SEA step in a process of its own, on the pinned Node (pkg wants >= 22):
 * `pkg-sea.mjs JSON`, where JSON is {main, assets, output, arch, version, generator, flags}.
 *
 * pkg takes runtimes from $HOME/.pkg-cache; executable.mjs has laid the stripped one there. The blob is made by
 * `generator`, which is the target's own runtime (under qemu for a foreign CPU): a blob holds lengths of the
 * generator's word size, and a code cache of its CPU.
 */
import { createRequire } from 'node:module';
import { basename } from 'node:path';

const { default: sea } = createRequire(import.meta.url)('pkg/lib-es5/sea.js');
const { main, assets, output, arch, version, generator, flags } = JSON.parse(process.argv[2] ?? '');

/** pkg works in a directory below $TMPDIR, which holds the files: a relative path keeps this machine's out. */
const relative = (path) => `../${basename(path)}`;

// pkg uses the running Node where its version is the target's, and else the one for this machine in its cache.
process.execPath = generator;
await sea(main, {
  targets: [{ platform: 'linux', arch, nodeRange: `node${version}`, output }],
  // What NODE_OPTIONS says is for other programs (the armv7l runtime is too old to know this key: see src/base/startup.ts).
  seaConfig: {
    main: relative(main),
    ...(Object.keys(assets).length === 0
      ? {}
      : { assets: Object.fromEntries(Object.entries(assets).map(([key, path]) => [key, relative(path)])) }),
    useCodeCache: true,
    execArgv: flags,
    execArgvExtension: 'none',
  },
});
