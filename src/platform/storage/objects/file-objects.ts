/** Objects as files in a directory that all replicas share. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { listDirectory, removeFileDurable } from '../../../base/fs.ts';
import { createBlobStore } from '../sqlite/blobs.ts';
import { OBJECT_NAME, type ObjectStore } from './object-store.ts';

export function createFileObjects(directory: string, nowSeconds: () => number): ObjectStore {
  const blobs = createBlobStore(directory);
  const filesOf = (folder: string) =>
    listDirectory(join(directory, folder)).flatMap((name) => {
      const found = statSync(join(directory, folder, name), { throwIfNoEntry: false });
      if (found === undefined || !OBJECT_NAME.test(name)) return [];
      return [{ name, sizeBytes: found.size, modifiedAt: Math.floor(found.mtimeMs / 1000) }];
    });
  return {
    async put(name, source, limitBytes) {
      const { sizeBytes, sha256, blob } = await blobs.receive(source, limitBytes, name);
      blobs.adopt({ blob });
      return { sizeBytes, sha256 };
    },
    open: (name) => blobs.open(name),
    remove: (name) => blobs.remove(name),
    // The directory may be that of an embedded platform as well.
    async *list() {
      yield* [];
    },
    async endOldUploads(ageSeconds) {
      for (const { name, modifiedAt } of filesOf('uploads'))
        if (modifiedAt < nowSeconds() - ageSeconds) removeFileDurable(join(directory, 'uploads', name));
    },
    claim: async () => undefined,
    close: () => undefined,
  };
}
