/** Reads server-sent events from the pieces in which their text arrives. */
import { StringDecoder } from 'node:string_decoder';
import { GweError } from '../../base/errors.ts';

export interface StreamEvent {
  readonly id: string | undefined;
  /** A block without data only says where a reader would continue. */
  readonly data: string | undefined;
}

const MOST_BLOCK_CHARS = 1024 * 1024;

/** Returns a function that takes the pieces. Throws PROTOCOL_GARBAGE for a block without an end. */
export function createEventReader(take: (event: StreamEvent) => void): (piece: Uint8Array) => void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  return (piece) => {
    const blocks = (rest + decoder.write(Buffer.from(piece))).split('\n\n');
    rest = blocks.pop() ?? '';
    if (rest.length > MOST_BLOCK_CHARS)
      throw new GweError('PROTOCOL_GARBAGE', 'cannot read the stream of events: one has no end');
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map(fieldOf));
      const event = { id: fields.get('id'), data: fields.get('data') };
      if (event.id !== undefined || event.data !== undefined) take(event);
    }
  };
}

function fieldOf(line: string): readonly [name: string, value: string] {
  const at = line.indexOf(':');
  return at === -1 ? [line, ''] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, '')];
}
