/** The limits on an artifact, from the configuration of this gateway. */
import { type ArtifactLimits, DEFAULT_LIMITS } from '../../artifact/limits.ts';
import type { EngineSettings } from '../../config/schema.ts';

/** Limits with a setting come from the setting; the others are what file systems accept. */
export function artifactLimits(settings: EngineSettings): ArtifactLimits {
  return {
    ...DEFAULT_LIMITS,
    compressedBytes: settings.maxArtifactBytes,
    unpackedBytes: settings.maxUnpackedBytes,
    ratio: settings.maxRatio,
    entries: settings.maxEntries,
    pathBytes: settings.maxPathBytes,
    depth: settings.maxPathDepth,
    allPathsBytes: settings.maxPathsBytes,
    metaEntryBytes: settings.maxHeaderBytes,
    manifestBytes: settings.maxManifestBytes,
  };
}
