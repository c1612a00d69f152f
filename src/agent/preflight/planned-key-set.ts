/** What a set of keys that is a file on this gateway would change, before it is installed. */
import { inspectArtifact } from '../../artifact/unpack/extract.ts';
import { GweError } from '../../base/errors.ts';
import { decodeKeyRing, isKeyFile, type KeyRing, LARGEST_KEY_BYTES } from '../../store/trust.ts';
import { artifactLimits } from '../admission/artifact-limits.ts';
import { lostWaysUnder } from '../admission/ways-back.ts';
import type { AgentContext } from '../run/context.ts';

/** One sentence for each app that would have no way back. Nothing for a file that no gateway would take over anyway. */
export async function waysLostBySet(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  path: string,
  signal: AbortSignal,
): Promise<string[]> {
  try {
    return lostWaysUnder(context, await readKeySet(context, path, signal));
  } catch (error) {
    if (error instanceof GweError && error.code !== 'CANCELLED') return [];
    throw error;
  }
}

async function readKeySet(
  context: Pick<AgentContext, 'settings'>,
  path: string,
  signal: AbortSignal,
): Promise<KeyRing> {
  const texts = new Map<string, string>();
  let current = '';
  await inspectArtifact(path, {
    limits: artifactLimits(context.settings()),
    signal,
    onFile(name) {
      current = isKeyFile(name) ? name : '';
      if (current !== '') texts.set(current, '');
    },
    onData(chunk) {
      const text = texts.get(current);
      // A longer file is not a key, and is reported as such.
      if (text !== undefined && text.length < LARGEST_KEY_BYTES) texts.set(current, text + chunk.toString());
    },
  });
  return decodeKeyRing([...texts.keys()], (name) => texts.get(name) ?? '');
}
