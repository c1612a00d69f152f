/** An answer in JSON that is made while it is sent, so that neither end has to hold a list of everything. */
import { Readable } from 'node:stream';
import type { Reply } from './exchange.ts';

/** How many characters are gathered before they are sent. */
const PART_LENGTH = 64 * 1024;

export function jsonListReply(items: AsyncIterable<unknown>): Reply {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: { stream: Readable.from(renderList(items), { objectMode: false }) },
  };
}

async function* renderList(items: AsyncIterable<unknown>): AsyncGenerator<string> {
  let part = '[';
  let separator = '';
  for await (const item of items) {
    part += separator + JSON.stringify(item);
    separator = ',';
    if (part.length < PART_LENGTH) continue;
    yield part;
    part = '';
    // A list of everything yields to all other requests.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  yield `${part}]`;
}
