/** After the executables: an app tarball of each, dist/SHA256SUMS, and what they weigh. Runs on the pinned Node. */
import * as fs from 'node:fs';
import { basename, join } from 'node:path';
import { DEFAULT_LIMITS } from '../artifact/limits.ts';
import { packIndexed } from '../artifact/make/pack-indexed.ts';
import { planPaths } from '../artifact/make/plan-tree.ts';
import { renderArtifactName } from '../artifact/name.ts';
import { fileDigest, remembered } from './cache.mjs';
import { CACHE, DIST, ROOT, RUNTIMES, releaseOf, say, VERSION } from './project.mjs';

const INSTALL_SCRIPT = join(ROOT, 'src/packaging/artifact-install.sh');

/** gwe is an app like the others: its executable under its name, and an install.sh that tries it. */
async function packTarget(target) {
  const executable = join(DIST, `gwe-${target}`);
  const facts = {
    name: 'gwe',
    version: `${VERSION}-${target}`,
    release: releaseOf(VERSION),
    architectures: [target.replace(/^linux-/, '')],
  };
  const tarball = join(DIST, renderArtifactName(facts));
  const inputs = ['chunked', facts.release, ...[executable, INSTALL_SCRIPT].map(fileDigest)].join('-');
  await remembered(basename(tarball), inputs, tarball, async () => {
    const stage = fs.mkdtempSync(join(CACHE, 'build', 'stage-'));
    try {
      fs.copyFileSync(executable, join(stage, 'gwe'));
      fs.copyFileSync(INSTALL_SCRIPT, join(stage, 'install.sh'));
      for (const name of ['gwe', 'install.sh']) fs.chmodSync(join(stage, name), 0o755);
      say(`packing dist/${basename(tarball)}`);
      const entries = planPaths(stage, ['gwe', 'install.sh'], DEFAULT_LIMITS);
      await packIndexed(tarball, { facts, entries });
    } finally {
      fs.rmSync(stage, { recursive: true, force: true });
    }
  });
  return [basename(executable), basename(tarball)];
}

/** In the form that `sha256sum -c` reads, in dist/. */
function writeChecksums(names) {
  const lines = names.sort().map((name) => `${fileDigest(join(DIST, name))}  ${name}\n`);
  fs.writeFileSync(join(DIST, 'SHA256SUMS'), lines.join(''));
}

const names = [];
for (const target of Object.keys(RUNTIMES)) names.push(...(await packTarget(target)));
// What a person runs on a gateway, with one of the executables beside it.
fs.copyFileSync(join(ROOT, 'src/packaging/install.sh'), join(DIST, 'install.sh'));
fs.chmodSync(join(DIST, 'install.sh'), 0o755);
names.push('install.sh');
writeChecksums(names);
say(`dist/SHA256SUMS lists ${names.length} files`);
