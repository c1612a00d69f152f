/**
 * What gwe unpacks is what GNU tar and Python's tarfile unpack of the same bytes, or gwe refuses them. Archives are made
 * byte by byte with what readers are known to disagree about. GWE_DIFFERENTIAL=1000 is the whole of it.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DEFAULT_LIMITS } from '../../../src/artifact/limits.ts';
import { extractArtifact } from '../../../src/artifact/unpack/extract.ts';
import { GweError } from '../../../src/base/errors.ts';
import { createRandom, mutate, type Random } from '../../fuzz/mutate.ts';
import { gnuLong, gzipTar, paxEntry, rawEntry } from '../../helpers/tar-bytes.ts';

const ARCHIVES = Number(process.env.GWE_DIFFERENTIAL ?? 120);
const SEED = Number(process.env.GWE_FUZZ_SEED ?? 20_260_101);

const NAMES = [
  'a',
  'b',
  'd/a',
  'd/e/b',
  './c',
  'd//f',
  'd/./g',
  '../x',
  '/abs',
  'x y',
  'é',
  'A',
  `${'l'.repeat(90)}`,
  'd',
  'd/',
];
const CONTENTS = ['', 'x', 'y'.repeat(511), 'z'.repeat(512), 'w'.repeat(513)];
const MAGICS = ['ustar\x0000', 'ustar  \0', '\0'.repeat(8)];

function makeArchive(random: Random): Buffer {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const count = 1 + random(6);
  const parts: Buffer[] = [];
  for (let index = 0; index < count; index++) {
    const [name, content, magic] = [pick(NAMES), pick(CONTENTS), pick(MAGICS)];
    const mode = pick([0o644, 0o755, 0o600, 0o444]);
    if (random(5) === 0)
      parts.push(
        paxEntry(
          pick<Record<string, string>>([
            { path: pick(NAMES) },
            { mtime: '1.5' },
            { size: '1' },
            { comment: 'c' },
            { linkpath: 'b' },
            { path: `p/${'q'.repeat(150)}` },
          ]),
        ),
      );
    if (random(9) === 0) parts.push(gnuLong(pick(['L', 'K']), pick([...NAMES, `g/${'h'.repeat(130)}`])));
    const type = pick(['0', '0', '0', '0', '0', '\0', '5', '2', '1', '7', '6']);
    const hasBody = type === '0' || type === '\0' || type === '7';
    const link = type === '1' || type === '2' ? { link: pick(NAMES) } : {};
    const prefix = magic === MAGICS[0] && random(6) === 0 ? { prefix: 'pre' } : {};
    parts.push(rawEntry({ name, mode, type, magic, ...link, ...prefix }, hasBody ? content : ''));
  }
  const whole = gzipTar(...parts);
  if (random(6) === 0)
    return gzipSync(mutate(Buffer.concat(parts), parts, ['../'], random, 20_000), { level: 1 });
  return random(12) === 0 ? Buffer.concat([whole, gzipTar(rawEntry({ name: 'trailing' }, 't'))]) : whole;
}

/** Path -> what it is. Modes are left out: gwe's own rule for them has its own tests. */
function snapshot(directory: string, prefix = ''): Record<string, string> {
  return Object.assign(
    {},
    ...readdirSync(join(directory, prefix)).map((name) => {
      const path = prefix === '' ? name : `${prefix}/${name}`;
      const stat = lstatSync(join(directory, path));
      if (stat.isDirectory()) return { [path]: 'directory', ...snapshot(directory, path) };
      if (stat.isSymbolicLink()) return { [path]: `-> ${readlinkSync(join(directory, path))}` };
      return {
        [path]: createHash('sha256')
          .update(readFileSync(join(directory, path)))
          .digest('hex'),
      };
    }),
  );
}

function hasRepeatedName(file: string): boolean {
  const listed = spawnSync('tar', ['-tzf', file], { encoding: 'utf8' }).stdout.trim().split('\n');
  const names = listed.map((name) => name.replace(/^(\.\/)+|\/+$/g, ''));
  return new Set(names).size < names.length;
}

const PYTHON = `
import sys, tarfile
for line in sys.stdin:
    file, directory = line.rstrip("\\n").split("\\t")
    with tarfile.open(file, "r:gz") as archive:
        options = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
        archive.extractall(directory, **options)
`;

test(`of ${ARCHIVES} generated archives gwe sees what GNU tar and Python see, or refuses`, async () => {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-differential-'));
  const random = createRandom(SEED);
  const jobs: string[] = [];
  const accepted: { index: number; tree: Record<string, string>; tarball: Buffer }[] = [];
  try {
    for (let index = 0; index < ARCHIVES; index++) {
      const tarball = makeArchive(random);
      const [file, own, gnu, python] = ['f', 'o', 'g', 'p'].map((kind) => join(scratch, `${kind}${index}`));
      assert.ok(file !== undefined && own !== undefined && gnu !== undefined && python !== undefined);
      writeFileSync(file, tarball);
      try {
        await extractArtifact(file, own, { limits: DEFAULT_LIMITS });
      } catch (error) {
        assert.ok(error instanceof GweError, `archive ${index}: ${String(error)}`);
        continue;
      }
      mkdirSync(gnu);
      const { status, stderr } = spawnSync('tar', ['-xzf', file, '-C', gnu], { encoding: 'utf8' });
      assert.equal(status, 0, `archive ${index}: GNU tar says ${stderr}\n${tarball.toString('base64')}`);
      const tree = snapshot(own);
      assert.deepEqual(snapshot(gnu), tree, `archive ${index} by GNU tar: ${tarball.toString('base64')}`);
      // Where a file follows a link of its name, Python writes through the link; GNU tar and gwe put the file in its place.
      if (hasRepeatedName(file)) continue;
      accepted.push({ index, tree, tarball });
      jobs.push(`${file}\t${python}\n`);
    }
    execFileSync('python3', ['-c', PYTHON], { input: jobs.join('') });
    for (const { index, tree, tarball } of accepted) {
      assert.deepEqual(
        snapshot(join(scratch, `p${index}`)),
        tree,
        `archive ${index} by Python: ${tarball.toString('base64')}`,
      );
    }
    assert.ok(accepted.length > ARCHIVES / 10 && accepted.length < ARCHIVES, `${accepted.length} accepted`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
