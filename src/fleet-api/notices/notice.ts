/** What people are notified of, who is notified, and when a failed notice is tried again. */
import { createHash, createHmac } from 'node:crypto';
import * as v from 'valibot';

export const NOTICE_KINDS = ['decision', 'silent', 'crash-loop', 'certificate', 'backup-failed'] as const;
type NoticeKind = (typeof NOTICE_KINDS)[number];

export interface Notice {
  /** The same key again is the same notice. */
  readonly key: string;
  readonly kind: NoticeKind;
  /** `*` for a notice about the platform itself. */
  readonly product: string;
  /** Unix seconds. */
  readonly at: number;
  /** One line. */
  readonly title: string;
  readonly text: string;
}

export const TARGET_KIND = 'target';
const TargetSchema = v.object({
  id: v.string(),
  /** `*` for all. */
  product: v.string(),
  /** `https://...`, or `mailto:...`. */
  url: v.string(),
  kinds: v.array(v.picklist(NOTICE_KINDS)),
  silentAfterS: v.number(),
  /** The secret that bodies are signed with, sealed; empty for mail. */
  secret: v.string(),
});
export type Target = v.InferOutput<typeof TargetSchema>;

export function decodeTarget(body: string): Target {
  return v.parse(TargetSchema, JSON.parse(body));
}

export function wants(target: Target, { kind, product }: Pick<Notice, 'kind' | 'product'>): boolean {
  return (
    target.kinds.includes(kind) && (product === '*' || target.product === '*' || target.product === product)
  );
}

export const DELIVERY_KIND = 'delivery';
export const DeliverySchema = v.object({
  target: v.string(),
  notice: v.object({
    key: v.string(),
    kind: v.picklist(NOTICE_KINDS),
    product: v.string(),
    at: v.number(),
    title: v.string(),
    text: v.string(),
  }),
  state: v.picklist(['due', 'sent', 'given-up']),
  attempts: v.number(),
  dueAt: v.number(),
  error: v.string(),
});
export type Delivery = v.InferOutput<typeof DeliverySchema>;

/** How long a sent notice is remembered, so that it is not sent again. */
export const KEPT_S = 40 * 86_400;
const PAUSES_S = [60, 300, 1800, 7200, 43_200];

export function deliveryKey(target: Target, { key }: Notice): string {
  return `${target.id}.${createHash('sha256').update(key).digest('hex').slice(0, 32)}`;
}

/** The delivery after a try: sent, to be tried again later, or given up. */
export function afterTry(delivery: Delivery, error: string | undefined, nowS: number): Delivery {
  const attempts = delivery.attempts + 1;
  if (error === undefined) return { ...delivery, attempts, state: 'sent', error: '' };
  const pauseS = PAUSES_S[attempts - 1];
  if (pauseS === undefined) return { ...delivery, attempts, state: 'given-up', error };
  return { ...delivery, attempts, dueAt: nowS + pauseS, error };
}

/** `t=UNIX,v1=HEX`: HMAC-SHA256 over the time, a dot, and the body. */
export function signBody(secret: string, body: string, nowS: number): string {
  return `t=${nowS},v1=${createHmac('sha256', secret).update(`${nowS}.${body}`).digest('hex')}`;
}
