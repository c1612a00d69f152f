/** Versions of an app in memory, for patches: their manifest with its chunks, and their body. */
import { createHash } from 'node:crypto';
import type { ByteSource } from '../../src/artifact/byte-source.ts';
import { BodyCutter } from '../../src/artifact/chunks/chunker.ts';
import {
  chunkDigest,
  chunkFacts,
  type Manifest,
  type ManifestChunk,
  type ManifestEntry,
} from '../../src/artifact/manifest/manifest.ts';
import { openPart } from '../../src/artifact/patch/apply.ts';
import { decodeDirectory, directoryBytes } from '../../src/artifact/patch/format.ts';
import type { PatchTarball } from '../../src/artifact/patch/make.ts';
import { encodeEntryHeader } from '../../src/artifact/tar/writer.ts';

export function bufferSource(bytes: Buffer): ByteSource {
  return {
    sizeBytes: bytes.length,
    read(offset, into) {
      return (
        offset >= 0 && offset + into.length <= bytes.length && bytes.copy(into, 0, offset) === into.length
      );
    },
  };
}

export function makeSide(files: Readonly<Record<string, Buffer>>): PatchTarball & { bytes: Buffer } {
  const paths = Object.keys(files).sort();
  const pieces: Buffer[] = [];
  const entries: ManifestEntry[] = [];
  for (const path of paths) {
    const content = files[path] ?? Buffer.alloc(0);
    const header = { path, type: 'file', mode: 0o644, sizeBytes: content.length, target: '' } as const;
    const sha256 = createHash('sha256').update(content).digest('hex');
    entries.push({ type: 'file', path, mode: '0644', size: content.length, sha256 });
    pieces.push(encodeEntryHeader(header), content, Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  pieces.push(Buffer.alloc(1024));
  const bytes = Buffer.concat(pieces);
  const headers = entries.map((entry) => {
    const size = entry.type === 'file' ? entry.size : 0;
    return { path: entry.path, type: 'file', mode: 0o644, sizeBytes: size, target: '' } as const;
  });
  const chunks: ManifestChunk[] = [...new BodyCutter(headers).take(bytes)].map((chunk) => [
    chunk.length,
    chunk.length + 64,
    chunkDigest(chunk),
  ]);
  const manifest: Manifest = { format: 1, name: 'app', version: '1', entries, chunks };
  const digest = createHash('sha256').update(bytes).digest('hex');
  return { digest, manifest, signatures: [], body: bufferSource(bytes), bytes };
}

/** What a gateway does with a patch: the chunks of it, by index, each as the manifest lists it or left out. */
export function applyPatch(patch: Buffer, old: ByteSource, next: Manifest): Map<number, Buffer> {
  const facts = chunkFacts(next);
  const head = patch.subarray(0, directoryBytes(patch));
  const made = new Map<number, Buffer>();
  for (const part of decodeDirectory(head, patch.length, facts.length).parts) {
    const reader = openPart(patch.subarray(part.offset, part.offset + part.sizeBytes), part);
    for (const index of part.chunks) {
      const into = Buffer.alloc(facts[index]?.sizeBytes ?? 0);
      reader.read(into, old);
      if (chunkDigest(into) === facts[index]?.digest) made.set(index, into);
    }
    reader.end();
  }
  return made;
}
