/** Builds what carries out updates. Apart from the rest, so that a check-in that brings none does not load it. */
import { KEYS_APP_NAME, RESERVED_APP_NAME } from '../artifact/name.ts';
import type { ContentApi } from '../protocol/content.ts';
import type { WorkingState } from '../update/machine.ts';
import type { EffectContext, EffectResult, UpdateEffects } from '../update/ports.ts';
import type { RunnerDependencies } from '../update/runner.ts';
import { createActivateEffects } from './activate-effects.ts';
import { createClosing } from './close.ts';
import type { AgentContext } from './context.ts';
import { createFetchEffects } from './fetch-effects.ts';
import { createKeySetEffects } from './key-set.ts';
import { createSelfEffects } from './self-update.ts';

/** What the update core runs with; without `content` only local files can be installed. */
export function composeRunner(
  context: AgentContext,
  content: ContentApi | undefined,
  signal: AbortSignal,
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
      ),
      ...createClosing(context),
    },
  };
}

/** gwe itself and its keys go through the same states as an app, with other work behind some of them. */
function chooseEffects(
  apps: UpdateEffects,
  special: Readonly<Record<string, Partial<UpdateEffects>>>,
): UpdateEffects {
  const byApp = new Map(Object.entries(special));
  const chosen = Object.entries(apps).map(([state, work]) => {
    const choose = (effect: EffectContext): Promise<EffectResult> => {
      const own = byApp.get(effect.transaction.app)?.[state as WorkingState];
      return own === undefined ? work(effect) : own(effect);
    };
    return [state, choose];
  });
  return Object.fromEntries(chosen) as UpdateEffects;
}
