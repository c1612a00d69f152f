/** `gwe fleet rollout undo`: the way back of each gateway, signed here where the rollout was signed. */
import { COMMAND_SIGN_OPTIONS, signText } from '../developer/sign-command.ts';
import { CLIENT_OPTIONS, oneLine, printJson } from '../platform/platform-options.ts';
import type { CommandCall, CommandSpec, OptionSpec } from '../shell/command.ts';
import { callFleet } from './fleet-client.ts';
import { UNDO_PLAN, UNDONE } from './fleet-replies.ts';
import { headline, rolloutPath } from './fleet-rollouts.ts';

/** As long as a gateway may take to come and read; it has counters from the command that is undone. */
const USUAL_UNTIL = '3d';

const SIGN_OPTIONS: readonly OptionSpec[] = COMMAND_SIGN_OPTIONS.map((option) =>
  option.name === 'until' ? { ...option, default: USUAL_UNTIL } : option,
);

export const undoCommand: CommandSpec = {
  path: ['fleet', 'rollout', 'undo'],
  positionals: ['PRODUCT', 'ROLLOUT'],
  summary: 'Roll each gateway that has it back to the version that it had; a signed one with --sign-key',
  options: [...SIGN_OPTIONS, ...CLIENT_OPTIONS],
  run: undoRollout,
};

async function undoRollout(call: CommandCall): Promise<number> {
  const path = rolloutPath(call, '/undo');
  const body = { signed: await signWaysBack(call) };
  const undone = await callFleet(call, UNDONE, { method: 'POST', path, body, what: 'undo the rollout' });
  if (call.options.has('json')) {
    printJson(call, undone);
    return 0;
  }
  for (const rollout of undone.rollouts) call.io.stdout(`${headline(rollout)}\n`);
  if (undone.rollouts.length === 0) call.io.stdout('no gateway has it\n');
  for (const serial of undone.unknown) call.io.stdout(`${oneLine(serial)}: has no version to go back to\n`);
  for (const serial of undone.unsigned)
    call.io.stdout(`${oneLine(serial)}: installed it meanwhile; undo it once more\n`);
  return 0;
}

/** One signature for each set of versions that gateways go back to; the server has no key. */
async function signWaysBack(call: CommandCall): Promise<unknown> {
  if (call.options.text('sign-key') === undefined && call.options.text('sign-cmd') === undefined)
    return undefined;
  const path = rolloutPath(call, '/undo/plan');
  const { steps } = await callFleet(call, UNDO_PLAN, { method: 'POST', path, what: 'undo the rollout' });
  const [product = ''] = call.positionals;
  const signed: unknown[] = [];
  for (const { artifacts } of steps) {
    const command = JSON.stringify({ install: artifacts.map((name) => ({ name })) });
    const text = await signText(call, 'sign-key', { product }, { text: command, until: USUAL_UNTIL });
    signed.push({ artifacts, signed: (JSON.parse(text ?? '{}') as { signed?: unknown }).signed });
  }
  return signed;
}
