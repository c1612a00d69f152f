/** Decodes the platform's answers to management calls; throws PROTOCOL_GARBAGE for anything else. */
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';

const DEVICES = v.array(
  v.object({
    serial: v.string(),
    state: v.string(),
    rid: v.string(),
    enabledAt: v.number(),
    lastWriteAt: v.number(),
    lastSeenAt: v.number(),
  }),
);
const HISTORY = v.array(v.object({ value: v.string(), timestamp: v.number(), writer: v.string() }));
const CONTENT_ITEM = v.object({
  id: v.string(),
  contentType: v.string(),
  sizeBytes: v.number(),
  updatedAt: v.number(),
  meta: v.string(),
});

export type ContentItemReply = v.InferOutput<typeof CONTENT_ITEM>;

function decode<T>(text: string, schema: v.GenericSchema<unknown, T>): T {
  try {
    return v.parse(schema, JSON.parse(text));
  } catch {
    throw new GweError(
      'PROTOCOL_GARBAGE',
      'cannot read the answer: it is not one of a gwe platform; check the URL',
    );
  }
}

export function decodeDevices(text: string): v.InferOutput<typeof DEVICES> {
  return decode(text, DEVICES);
}

export function decodeHistory(text: string): v.InferOutput<typeof HISTORY> {
  return decode(text, HISTORY);
}

export function decodeContentItem(text: string): ContentItemReply {
  return decode(text, CONTENT_ITEM);
}

export function decodeContentList(text: string): ContentItemReply[] {
  return decode(text, v.array(CONTENT_ITEM));
}
