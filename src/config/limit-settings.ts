/** The part of Engine.config that bounds what comes from outside: a setting for every limit. */
import type { SettingSpec } from './setting.ts';

const MIB = 1024 * 1024;

export const LIMIT_SETTINGS = {
  maxArtifactBytes: {
    key: 'max_artifact_bytes',
    type: 'whole',
    default: 1024 * MIB,
    min: 1024,
    max: Number.MAX_SAFE_INTEGER,
    help: 'largest tarball that is downloaded',
  },
  maxUnpackedBytes: {
    key: 'max_unpacked_bytes',
    type: 'whole',
    default: 4096 * MIB,
    min: 1024,
    max: Number.MAX_SAFE_INTEGER,
    help: 'largest total of the files in a tarball',
  },
  maxEntries: {
    key: 'max_entries',
    type: 'whole',
    default: 100_000,
    min: 1,
    max: 10_000_000,
    help: 'most files, directories and links in a tarball',
  },
  maxRatio: {
    key: 'max_ratio',
    type: 'whole',
    default: 200,
    min: 1,
    max: 1_000_000,
    help: 'most bytes that one byte of a tarball may unpack to, beyond 64 MiB',
  },
  maxPathBytes: {
    key: 'max_path_bytes',
    type: 'whole',
    default: 1024,
    min: 64,
    max: 4096,
    help: 'longest path in a tarball, and longest target of a link',
  },
  maxPathDepth: {
    key: 'max_path_depth',
    type: 'whole',
    default: 64,
    min: 1,
    max: 1024,
    help: 'most names in one path of a tarball',
  },
  maxPathsBytes: {
    key: 'max_paths_bytes',
    type: 'whole',
    default: 8 * MIB,
    min: 1024,
    max: 1024 * MIB,
    help: 'bytes of all paths of a tarball together (they are kept in memory)',
  },
  maxHeaderBytes: {
    key: 'max_header_bytes',
    type: 'whole',
    default: 64 * 1024,
    min: 4096,
    max: 16 * MIB,
    help: 'largest extended header of an entry, and largest list of signatures',
  },
  maxManifestBytes: {
    key: 'max_manifest_bytes',
    type: 'whole',
    default: 8 * MIB,
    min: 4096,
    max: 256 * MIB,
    help: 'largest manifest of a tarball (about 150 bytes an entry; it is kept in memory)',
  },
  maxReplyBytes: {
    key: 'max_reply_bytes',
    type: 'whole',
    default: 4 * MIB,
    min: 4096,
    max: 64 * MIB,
    help: 'largest answer of the platform that is not content; the values of the aliases in it may take 262144 bytes together',
  },
} as const satisfies Record<string, SettingSpec>;
