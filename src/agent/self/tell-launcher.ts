/** Tells the launcher that this version of gwe works. */
import { describeError } from '../../base/errors.ts';
import { confirmStart, LAUNCHED_VARIABLE } from '../../service/starts.ts';
import type { AgentContext } from '../run/context.ts';

/** To be called after every good check-in; writes once in the life of a version. Never throws: updates go on. */
export function tellLauncher(context: Pick<AgentContext, 'layout' | 'log' | 'env'>): void {
  const launched = context.env[LAUNCHED_VARIABLE];
  try {
    if (confirmStart(context.layout, launched) === 'confirmed')
      context.log.info('service.confirmed', { launched }, 'the launcher stops counting starts');
  } catch (error) {
    context.log.warn('service.confirmed', { launched }, describeError(error));
  }
}
