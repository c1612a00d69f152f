/**
 * Notes where this user's last `gwe platform serve` listens, so that commands find its URL and its token without
 * options.
 */
import { join } from 'node:path';
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';
import { storedFile } from '../../base/stored-file.ts';
import type { CommandIo } from '../shell/command.ts';

const LARGEST_BYTES = 16 * 1024;

const ServedSchema = v.object({ version: v.literal(1), url: v.string(), tokenFile: v.string() });
type Served = v.InferOutput<typeof ServedSchema>;

/** `~/.local/state/gwe/platform.json`; `undefined` for a user without a home. */
function servedFile({ env }: Pick<CommandIo, 'env'>) {
  const { XDG_STATE_HOME: state = '', HOME: home = '' } = env;
  const directory = state.startsWith('/')
    ? state
    : home.startsWith('/')
      ? join(home, '.local/state')
      : undefined;
  if (directory === undefined) return undefined;
  const path = join(directory, 'gwe/platform.json');
  return storedFile(path, { schema: ServedSchema, limitBytes: LARGEST_BYTES, mode: 0o600 });
}

/** `undefined` if there is none. The file does not contain the token itself. */
export function readLastServed(io: Pick<CommandIo, 'env'>): Served | undefined {
  return servedFile(io)?.readOr(undefined);
}

/**
 * Returns a function that removes the note, unless another platform was started meanwhile. A home that cannot be
 * written to is not an error.
 */
export function noteServed(io: Pick<CommandIo, 'env'>, served: Omit<Served, 'version'>): () => void {
  const file = servedFile(io);
  const quietly = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof GweError)) throw error;
    }
  };
  quietly(() => file?.write({ version: 1, ...served }));
  return () =>
    quietly(() => {
      if (file?.readOr(undefined)?.url === served.url) file.remove();
    });
}
