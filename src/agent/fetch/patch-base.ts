/** The installed versions of an app that a patch may start from. */
import { join } from 'node:path';
import type { ArtifactLimits } from '../../artifact/limits.ts';
import { MANIFEST_PATH, manifestDigest } from '../../artifact/manifest/meta-files.ts';
import { describeError } from '../../base/errors.ts';
import { readFileBounded } from '../../base/fs.ts';
import { appDirectory } from '../../store/layout.ts';
import { listVersions } from '../../store/versions.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import type { AgentContext } from '../run/context.ts';

export interface PatchBase {
  directory: string;
  /** The digest of its manifest, which is decoded only for the chosen one because it may be large. */
  digest: string;
}

/** The installed versions of `app` that have a manifest, the active one first. */
export function patchBases(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  app: string,
): PatchBase[] {
  const { active, previous } = context.installed.get(app);
  const order = (name: string): number =>
    [active, previous].findIndex(
      (record) => record !== undefined && name.endsWith(`-${record.digest.slice(0, 8)}`),
    );
  const rank = (name: string): number => (order(name) === -1 ? 2 : order(name));
  const limits = artifactLimits(context.settings());
  return listVersions(context.layout, app)
    .sort((a, b) => rank(a) - rank(b))
    .flatMap((name) => {
      const directory = join(appDirectory(context.layout, app), name);
      try {
        const bytes = readManifestBytes(directory, limits);
        return bytes === undefined ? [] : [{ directory, digest: manifestDigest(bytes) }];
      } catch (error) {
        // Not everything in the apps directory was put there by gwe.
        context.log.debug('patch.skip', { directory }, describeError(error));
        return [];
      }
    });
}

/** The bytes of the manifest in `directory`, not decoded. Throws ARTIFACT_LIMIT, STORE_IO. */
export function readManifestBytes(directory: string, limits: ArtifactLimits): Buffer | undefined {
  return readFileBounded(join(directory, MANIFEST_PATH), limits.manifestBytes);
}
