/** Events as they happen (server-sent events): any replica continues after the last event that a reader has seen. */
import { Readable } from 'node:stream';
import { Refusal } from '../platform/http/exchange.ts';
import type { StoredEvent } from '../platform/storage/fleet-storage.ts';
import type { Answer, FleetContext, Request } from './call.ts';

const LOOK_EVERY_MS = 1000;
/** Sent so that whatever lies between sees that the connection is alive. */
const WORD_EVERY_S = 15;
/** After this the reader connects again, and its token is checked again. */
const LONGEST_S = 600;
const MOST_TOGETHER = 500;

/** Refuses with 429 while the actor reads too many streams. */
export async function streamEvents(
  context: FleetContext,
  request: Request,
  product: string,
): Promise<Answer> {
  const after = await startOf(context, request);
  const release = context.streams.take(request.actor.name);
  if (release === undefined) throw new Refusal(429, 'cannot stream events: too many streams are open');
  const lines = renderEvents(context, request, product, after);
  const stream = Readable.from(lines, { objectMode: false });
  stream.once('close', release);
  const headers = {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  };
  return { body: undefined, reply: { status: 200, headers, body: { stream } } };
}

/** The event after which the reader left off; the newest one where the reader names none. */
async function startOf({ storage }: FleetContext, request: Request): Promise<number> {
  const text = request.header('last-event-id') ?? request.query.get('after') ?? '';
  if (text === '') return storage.lastEventId();
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Refusal(400, 'cannot use Last-Event-ID: expected the id of an event');
}

async function* renderEvents(
  { storage, clock }: FleetContext,
  { signal, query, at }: Request,
  product: string,
  start: number,
): AsyncGenerator<string> {
  const serial = query.get('serial') ?? undefined;
  let [after, toldAt] = [start, at];
  const marks = query.get('rollouts') === 'true' ? watchRollouts(storage, product) : undefined;
  // A reader that is cut off before the first event continues from here.
  yield `id: ${start}\nretry: 2000\n\n`;
  while (!signal.aborted) {
    const now = Math.floor(clock.wallMs() / 1000);
    if (now - at >= LONGEST_S) return;
    if ((await marks?.()) === true) yield 'event: rollouts\ndata: {}\n\n';
    const newest = await storage.lastEventId();
    if (newest > after) {
      const events = await storage.listEvents(product, { after, limit: MOST_TOGETHER, serial });
      const isAll = events.length < MOST_TOGETHER;
      if (events.length > 0) {
        yield events.map(renderEvent).join('');
        toldAt = now;
      }
      after = Math.max(events.at(-1)?.id ?? 0, isAll ? newest : 0);
      if (!isAll) continue;
    }
    if (now - toldAt >= WORD_EVERY_S) {
      yield ':\n\n';
      toldAt = now;
    }
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

const MOST_ROLLOUTS = 20;

/**
 * Returns a function that says whether one of the newest rollouts has changed since its last call: a change of a
 * rollout is not an event of a gateway.
 */
function watchRollouts(storage: FleetContext['storage'], product: string): () => Promise<boolean> {
  let before: string | undefined;
  return async () => {
    const found = await storage.listRollouts(product, MOST_ROLLOUTS);
    const mark = found.map(({ rollout, revision }) => `${rollout.id}:${revision}`).join();
    const isChanged = before !== undefined && before !== mark;
    before = mark;
    return isChanged;
  };
}

function renderEvent(event: StoredEvent): string {
  return `id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`;
}
