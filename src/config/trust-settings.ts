/** The rows of the table about who must have signed. */
import type { SettingSpec } from './setting.ts';

export const TRUST_SETTINGS = {
  requireSignatures: {
    key: 'require_signatures',
    type: 'whole',
    protects: true,
    default: 1,
    min: 1,
    max: 32,
    help: 'number of trusted keys (keys.d) that must have signed a tarball; without any key, no signature is needed',
  },
  requireSignedCommands: {
    key: 'require_signed_commands',
    type: 'boolean',
    protects: true,
    default: false,
    help: 'take commands from the platform only if a trusted key with powers: commands has signed them',
  },
  requireFreshReleases: {
    key: 'require_fresh_releases',
    type: 'boolean',
    protects: true,
    default: true,
    help: 'where a trusted key has powers: releases: refuse new installs once the newest release list has expired',
  },
} as const satisfies Record<string, SettingSpec>;
