/** `Idempotency-Key`: a request that is sent twice under one key is carried out once, and answered alike. */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { Refusal } from '../platform/http/exchange.ts';
import type { RecordStorage } from '../platform/storage/record-storage.ts';
import type { Answer } from './call.ts';

const KIND = 'once';
const KEPT_S = 86_400;
/** The longest answer that is stored; of a request with a longer one it is only known that it was done. */
const MOST_KEPT_CHARS = 64 * 1024;

const Kept = v.object({
  fingerprint: v.string(),
  answer: v.optional(
    v.object({
      status: v.optional(v.picklist([200, 201])),
      body: v.unknown(),
      revision: v.optional(v.number()),
    }),
  ),
});

/** `who` and `key` identify it; `request` is everything that it asks. */
interface Once {
  readonly who: string;
  readonly key: string;
  readonly request: readonly string[];
}

/**
 * Refuses with 422 a different request under the same key, and with 409 while the first is under way or its end is
 * unknown.
 */
export async function runOnce(
  storage: RecordStorage,
  { who, key, request }: Once,
  run: () => Promise<Answer>,
): Promise<Answer> {
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw new Refusal(400, 'cannot use Idempotency-Key: expected 1 to 255 visible characters');
  const which = { kind: KIND, key: digestOf([who, key]) };
  const fingerprint = digestOf(request);
  const before = await storage.changeRecord(which, (found, nowS) =>
    found === undefined
      ? { result: undefined, put: { body: JSON.stringify({ fingerprint }), endsAt: nowS + KEPT_S } }
      : { result: v.parse(Kept, JSON.parse(found)) },
  );
  if (before !== undefined) return answerOf(before, fingerprint);
  try {
    const answer = await run();
    await keep(storage, which, fingerprint, answer);
    return answer;
  } catch (error) {
    // A refused request has done nothing, and may be sent again when the reason is gone.
    if (error instanceof Refusal)
      await storage.changeRecord(which, () => ({ result: undefined, isRemoved: true }));
    throw error;
  }
}

function answerOf({ fingerprint, answer }: v.InferOutput<typeof Kept>, expected: string): Answer {
  if (fingerprint !== expected)
    throw new Refusal(422, 'cannot use Idempotency-Key: it was used for another request');
  if (answer === undefined)
    throw new Refusal(
      409,
      'cannot do this again: the same request is under way, or its end is not known; look, then ask under another key',
    );
  return answer;
}

async function keep(
  storage: RecordStorage,
  which: { kind: string; key: string },
  fingerprint: string,
  { status, body, revision, again }: Answer,
): Promise<void> {
  const answer = { status, body: again ?? body, revision };
  const text = JSON.stringify({ fingerprint, answer });
  const kept =
    text.length <= MOST_KEPT_CHARS ? text : JSON.stringify({ fingerprint, answer: { status, body: {} } });
  await storage.changeRecord(which, (_, nowS) => ({
    result: undefined,
    put: { body: kept, endsAt: nowS + KEPT_S },
  }));
}

function digestOf(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
