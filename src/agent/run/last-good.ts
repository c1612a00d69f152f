/** Configuration that cannot be read any more: the last good one stays in force. */
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';

/** `read`, or its last good result where it fails: a damaged Engine.config must not end the agent. */
export function orLastGood<T>(read: () => T, log: Logger): () => T {
  let last: { value: T } | undefined;
  let told = '';
  return () => {
    try {
      last = { value: read() };
      told = '';
      return last.value;
    } catch (error) {
      if (last === undefined) throw error;
      const found = describeError(error);
      if (found !== told) log.error('config.unreadable', {}, `${found}; the previous settings stay in force`);
      told = found;
      return last.value;
    }
  };
}
