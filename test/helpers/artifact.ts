/** Unpacks crafted bytes in a throw-away root and sees to it that nothing appears beside the directory. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ArtifactLimits, DEFAULT_LIMITS } from '../../src/artifact/limits.ts';
import type { ArtifactContents } from '../../src/artifact/unpack/contents.ts';
import { extractArtifact, inspectArtifact } from '../../src/artifact/unpack/extract.ts';
import { GweError } from '../../src/base/errors.ts';
import { removeRoot } from './remove-root.ts';

export interface Unpacked {
  contents?: ArtifactContents;
  error?: unknown;
  directory: string;
}

/** Runs `use` on what came of unpacking `tarball`; the file, the directory and all else are gone afterwards. */
export async function withUnpacked(
  tarball: Buffer,
  use: (unpacked: Unpacked) => void | Promise<void>,
  limits: ArtifactLimits = DEFAULT_LIMITS,
): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'gwe-artifact-'));
  try {
    const file = join(root, 'app.v1.tar.gz');
    const parent = join(root, 'parent');
    const directory = join(parent, 'version');
    writeFileSync(file, tarball);
    mkdirSync(parent);
    const unpacked: Unpacked = { directory };
    try {
      unpacked.contents = await extractArtifact(file, directory, { limits });
    } catch (error) {
      unpacked.error = error;
    }
    assert.deepEqual(readdirSync(root).sort(), ['app.v1.tar.gz', 'parent'], 'nothing beside the parent');
    assert.deepEqual(readdirSync(parent), ['version'], 'nothing beside the directory');
    await sameVerdictWithoutWriting(file, unpacked, limits);
    await use(unpacked);
  } finally {
    removeRoot(root);
  }
}

async function sameVerdictWithoutWriting(
  file: string,
  unpacked: Unpacked,
  limits: ArtifactLimits,
): Promise<void> {
  const inspected = await inspectArtifact(file, { limits }).catch((error: unknown) => error);
  assert.deepEqual(
    inspected instanceof Error ? inspected.message : inspected,
    unpacked.error instanceof Error ? unpacked.error.message : unpacked.contents,
  );
}

/** Asserts that `tarball` is refused with a message that `message` matches, and that nothing escapes. */
export async function assertRefused(
  tarball: Buffer,
  code: string,
  message: RegExp,
  limits: ArtifactLimits = DEFAULT_LIMITS,
): Promise<void> {
  await withUnpacked(
    tarball,
    ({ error }) => {
      assert.ok(error instanceof GweError, `expected a refusal, got ${String(error)}`);
      assert.match(error.message, message);
      assert.equal(error.code, code);
      assert.doesNotMatch(error.message, /\n/, 'one line');
    },
    limits,
  );
}
