/**
 * `gwe platform ...`: the embedded platform, and the commands of its operator.
 *
 * With `--json` each prints one document on one line; `version` is 1, times are unix seconds, fields may be added:
 *
 *     device add|disable|regenerate   {version, product, serial, state}
 *     device list                     {version, product, devices: [{serial, state, rid, enabledAt, lastWriteAt,
 * lastSeenAt}]}
 *     write                           {version, product, serial, alias, value, reports}   reports: with --wait
 *     read                            {version, product, serial, alias, value}   value null: never written
 *     history                         {version, product, serial, alias, entries: [{value, timestamp, writer}]}
 *     content put                     {version, product, id, contentType, sizeBytes, updatedAt, meta, sha256}
 *     content list                    {version, product, content: [{id, contentType, sizeBytes, updatedAt, meta}]}
 *     content delete                  {version, product, id, deleted}
 *     copy                            {version, from, devices, rows, content}
 *     backup                          {version, to, files, bytes}
 *     verify                          {version, from, madeAt, files}
 *     restore                         {version, from, madeAt, pausedRollouts, reactivatable}
 */
import type { CommandSpec } from '../shell/command.ts';
import { platformBackup, platformCopy, platformRestore, platformVerify } from './platform-backup.ts';
import { contentCommands } from './platform-content.ts';
import { platformMigrate } from './platform-database.ts';
import { deviceCommands } from './platform-devices.ts';
import { platformServe } from './platform-serve.ts';

export const platformCommands: readonly CommandSpec[] = [
  platformServe,
  platformMigrate,
  platformCopy,
  platformBackup,
  platformVerify,
  platformRestore,
  ...deviceCommands,
  ...contentCommands,
];
