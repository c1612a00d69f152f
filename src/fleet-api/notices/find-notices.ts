/** What there is to report now. One of the platforms that share a database looks for it once a minute. */
import type { GatewayRecord } from '../../fleet/gateway/record.ts';
import type { Storage } from '../../platform/storage/storage.ts';
import type { Notice, Target } from './notice.ts';

/** How many rollouts of a product are looked at, the newest ones. */
const MOST_ROLLOUTS = 100;

/** Rollouts that wait for a person. */
export async function findDecisions(storage: Storage, product: string, at: number): Promise<Notice[]> {
  const found = await storage.listRollouts(product, MOST_ROLLOUTS);
  return found.flatMap(({ name, rollout }): Notice[] => {
    const { id, state, since, by, reason } = rollout;
    const isStopped = state === 'paused' && by === 'rule';
    if (!isStopped && state !== 'held' && state !== 'awaiting-approval') return [];
    const title = `rollout ${name} needs a decision: ${state}`;
    const text = `${title}\n${reason}\n\ngwe fleet rollout show ${product} ${id}`;
    return [{ key: `decision:${id}:${since}`, kind: 'decision', product, at, title, text }];
  });
}

/** Crash loops among the events after the event `after`. */
export async function findLoops(
  storage: Storage,
  product: string,
  { after, at }: { after: number; at: number },
): Promise<Notice[]> {
  const notices: Notice[] = [];
  for (let from = after; ; ) {
    const events = await storage.listEvents(product, { after: from, limit: 1000 });
    for (const { id, kind, serial, text } of events)
      if (kind === 'looping') {
        const title = `crash loop on ${serial}: ${text}`;
        notices.push({ key: `loop:${id}`, kind: 'crash-loop', product, at, title, text: title });
      }
    from = events.at(-1)?.id ?? from;
    if (events.length < 1000) return notices;
  }
}

/** How many gateways a notice names one by one. */
const MOST_NAMED = 50;
/** A silence that lasts longer is reported once more; the records of removed gateways go with it. */
const REPORTED_S = 366 * 86_400;

interface FoundSilence {
  notice: Notice;
  /** To be called once the notice is stored: before that, whatever goes wrong would lose the silence for good. */
  markReported(): Promise<void>;
}

/** Gateways whose silence has not been reported to this target; all those found at once are in one notice. */
export async function findSilent(
  storage: Storage,
  product: string,
  target: Target,
  at: number,
): Promise<FoundSilence | undefined> {
  const isSilent = ({ lastSeenAt }: GatewayRecord): boolean =>
    lastSeenAt > 0 && at - lastSeenAt > target.silentAfterS;
  const found = new Map<string, number>();
  for (let after: string | undefined; ; ) {
    const page = await storage.listGateways(product, { after, limit: 1000, chosen: isSilent });
    for (const { serial, lastSeenAt } of page.items)
      if ((await storage.findRecord('told', keyOf(target, product, serial))) !== String(lastSeenAt))
        found.set(serial, lastSeenAt);
    if (page.next === undefined) break;
    after = page.next;
  }
  if (found.size === 0) return undefined;
  const notice = silenceNotice([...found.keys()], target, { product, at });
  return {
    notice,
    async markReported() {
      for (const [serial, lastSeenAt] of found)
        await storage.changeRecord({ kind: 'told', key: keyOf(target, product, serial) }, (_, nowS) => ({
          result: undefined,
          put: { body: String(lastSeenAt), endsAt: nowS + REPORTED_S },
        }));
    },
  };
}

const keyOf = (target: Target, product: string, serial: string): string =>
  `${target.id}/${product}/${serial}`;

function silenceNotice(
  serials: readonly string[],
  target: Target,
  { product, at }: { product: string; at: number },
): Notice {
  const noun = serials.length === 1 ? 'gateway is' : 'gateways are';
  const title = `${serials.length} ${noun} silent for more than ${Math.round(target.silentAfterS / 3600)} h`;
  const rest = serials.length - MOST_NAMED;
  const text = [title, ...serials.slice(0, MOST_NAMED), ...(rest > 0 ? [`and ${rest} more`] : [])].join('\n');
  return { key: `silent:${product}:${at}`, kind: 'silent', product, at, title, text };
}

const DAY_S = 86_400;
/** How many days before its end a notice about a certificate is sent. */
const CERTIFICATE_DAYS = [1, 7, 21];

/** `endsAt`: Unix seconds after which the platform's certificate is not valid. */
export function findCertificate(endsAt: number, at: number): Notice[] {
  const days = CERTIFICATE_DAYS.find((most) => endsAt - at <= most * DAY_S);
  if (days === undefined) return [];
  const title = `the certificate of the platform ends ${new Date(endsAt * 1000).toISOString().slice(0, 16)}Z`;
  return [
    { key: `certificate:${endsAt}:${days}`, kind: 'certificate', product: '*', at, title, text: title },
  ];
}
