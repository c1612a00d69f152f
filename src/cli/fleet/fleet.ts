/**
 * `gwe fleet ...`: many gateways at once, over the platform's `/gwe/v2`.
 *
 * With `--json` each prints one document on one line: the platform's answer with `version` 1 before it.
 */
import type { CommandSpec } from '../shell/command.ts';
import { auditCommands } from './fleet-audit.ts';
import { deviceCommands } from './fleet-devices.ts';
import { eventCommands } from './fleet-events.ts';
import { listCommands } from './fleet-lists.ts';
import { patchCommands } from './fleet-patches.ts';
import { peopleCommands } from './fleet-people.ts';
import { releaseCommand } from './fleet-releases.ts';
import { rolloutCommands } from './fleet-rollouts.ts';
import { undoCommand } from './rollout-undo.ts';

export const fleetCommands: readonly CommandSpec[] = [
  ...deviceCommands,
  ...eventCommands,
  ...rolloutCommands,
  undoCommand,
  releaseCommand,
  ...listCommands,
  ...patchCommands,
  ...peopleCommands,
  ...auditCommands,
];
