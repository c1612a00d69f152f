/** What could not be removed because something is mounted in it: the log names it each time that it is tried. */
import type { Cleared } from '../../store/versions.ts';
import type { AgentContext } from './context.ts';

export function warnMounted({ log }: Pick<AgentContext, 'log'>, { stayed }: Pick<Cleared, 'stayed'>): void {
  for (const error of stayed) log.warn('store.mounted', {}, error.message);
}
