/**
 * Long answers stay in memory until their clients have read them: limits what each sender, and all together, may have
 * there.
 */

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { FREE_ANSWER_BYTES, MAX_ANSWERS_BYTES, MAX_ANSWERS_BYTES_PER_SENDER } from '../bounds.ts';

export interface AnswerRoom {
  /**
   * Takes room for an answer until the returned function is called; `undefined` if `sender` has another answer, and
   * both together are too long. If all answers together are too long, the oldest one is cut off: a client that reads
   * its answer is done long before that.
   */
  hold(sender: string, bytes: number, cutOff: () => void): (() => void) | undefined;
  /** Resolves when a part of an answer has waited too long to be read, or earlier when `signal` aborts. */
  stall(signal: AbortSignal): Promise<void>;
}

interface Answer {
  sender: string;
  bytes: number;
  cutOff(): void;
}

export function createAnswerRoom(stallMs: number, clock: Pick<Clock, 'sleep'>): AnswerRoom {
  const answers = new Set<Answer>();
  const held = new Map<string, number>();
  let total = 0;
  const leave = (answer: Answer): void => {
    if (!answers.delete(answer)) return;
    total -= answer.bytes;
    const left = (held.get(answer.sender) ?? 0) - answer.bytes;
    if (left > 0) held.set(answer.sender, left);
    else held.delete(answer.sender);
  };
  return {
    stall: (signal) => clock.sleep(stallMs, signal),
    hold(sender, bytes, cutOff) {
      if (bytes <= FREE_ANSWER_BYTES) return () => undefined;
      const own = held.get(sender) ?? 0;
      if (own > 0 && own + bytes > MAX_ANSWERS_BYTES_PER_SENDER) return undefined;
      for (const oldest of answers) {
        if (total + bytes <= MAX_ANSWERS_BYTES) break;
        leave(oldest);
        oldest.cutOff();
      }
      const answer = { sender, bytes, cutOff };
      answers.add(answer);
      held.set(sender, own + bytes);
      total += bytes;
      return () => leave(answer);
    },
  };
}

/** How many characters are encoded at once. */
const PART_LENGTH = 16 * 1024;

/** Sends a long text as its client reads it; ends the connection where a part is not read in time. */
export async function sendText(
  response: ServerResponse,
  text: string,
  { signal, stall }: { signal: AbortSignal; stall: AnswerRoom['stall'] },
): Promise<void> {
  for (let at = 0; at < text.length; ) {
    const end = endOfPart(text, at);
    if (!response.write(text.slice(at, end))) await drained(response, signal, stall);
    at = end;
  }
  response.end();
}

async function drained(
  response: ServerResponse,
  signal: AbortSignal,
  stall: AnswerRoom['stall'],
): Promise<void> {
  const read = new AbortController();
  void stall(read.signal).then(() => {
    if (!read.signal.aborted) response.destroy();
  });
  try {
    await once(response, 'drain', { signal });
  } finally {
    read.abort();
  }
}

/** The end of a part, never between the two halves of a character. */
function endOfPart(text: string, start: number): number {
  const end = Math.min(text.length, start + PART_LENGTH);
  const last = text.charCodeAt(end - 1);
  return end < text.length && last >= 0xd800 && last < 0xdc00 ? end + 1 : end;
}
