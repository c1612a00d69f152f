/**
 * Builds what carries out updates: the effects of every state, and what ends them. Apart from the rest, so that a
 * check-in that brings none does not load it.
 */
import { KEYS_APP_NAME, RESERVED_APP_NAME } from '../../artifact/name.ts';
import type { ContentApi } from '../../protocol/content-api.ts';
import type { CheckedTransaction } from '../../update/journal.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../../update/ports.ts';
import type { RunnerDependencies } from '../../update/runner.ts';
import type { WorkingState } from '../../update/state-machine.ts';
import { assertStillReleased } from '../admission/admission.ts';
import { createKeySetEffects } from '../admission/key-set.ts';
import type { AgentContext } from '../run/context.ts';
import { assertCommandStands } from '../run/signed-commands.ts';
import { createSelfEffects } from '../self/self-update.ts';
import { createActivateEffects } from './activate.ts';
import { isBeyondCancel, watchCancel } from './cancel.ts';
import { download } from './download.ts';
import { plan } from './plan.ts';
import { createEndPorts } from './record-end.ts';
import { promoteStaged, unpack } from './unpack.ts';

/**
 * What the update core runs with; without `content` only local files can be installed. `signal` aborts when gwe stops,
 * `operator` when the person who typed the command cancels it.
 */
export function composeRunner(
  context: AgentContext,
  content: ContentApi | undefined,
  signal: AbortSignal,
  operator?: AbortSignal,
): RunnerDependencies {
  return {
    journal: context.journal,
    clock: context.clock,
    log: context.log,
    signal,
    ports: {
      effects: chooseEffects(
        { ...createFetchEffects(context, content), ...createActivateEffects(context) },
        { [RESERVED_APP_NAME]: createSelfEffects(context), [KEYS_APP_NAME]: createKeySetEffects(context) },
        (transaction) => {
          assertCommandStands(context, transaction);
          assertStillReleased(context, transaction);
        },
      ),
      ...createEndPorts(context),
      watchCancel: ({ id }) => watchCancel(context, id, operator),
      isBeyondCancel,
    },
  };
}

/**
 * gwe itself and its keys go through the same states as an app, with other work behind some of them. `assertStands` is
 * asked last, before anything that runs is touched.
 */
function chooseEffects(
  apps: UpdateEffects,
  special: Readonly<Record<string, Partial<UpdateEffects>>>,
  assertStands: (transaction: CheckedTransaction) => void,
): UpdateEffects {
  const byApp = new Map(Object.entries(special));
  const chosen = Object.entries(apps).map(([state, work]) => {
    const choose = async (effect: EffectContext<CheckedTransaction>): Promise<EffectResult> => {
      const own = byApp.get(effect.transaction.app)?.[state as WorkingState];
      const result = await (own === undefined ? work(effect) : own(effect));
      if (state === 'promoted') assertStands(effect.transaction);
      return result;
    };
    return [state, choose];
  });
  return Object.fromEntries(chosen) as UpdateEffects;
}

type FetchEffects = Pick<UpdateEffects, 'planned' | 'downloading' | 'verified' | 'staged'>;

/** `content` is absent where there is no platform to fetch from (a local install). */
export function createFetchEffects(context: AgentContext, content: ContentApi | undefined): FetchEffects {
  return {
    planned: (effect) => plan(context, content, effect),
    downloading: (effect) => download(context, content, effect),
    verified: (effect) => unpack(context, effect),
    staged: (effect) => promoteStaged(context, effect.transaction),
  };
}
