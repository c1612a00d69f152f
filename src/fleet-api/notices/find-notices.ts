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

/** So many gateways are named one by one in a notice. */
const MOST_NAMED = 50;

/** Gateways whose silence has not been reported to this target; all those found at once are in one notice. */
export async function findSilent(
  storage: Storage,
  product: string,
  target: Target,
  at: number,
): Promise<Notice | undefined> {
  const isSilent = ({ lastSeenAt }: GatewayRecord): boolean =>
    lastSeenAt > 0 && at - lastSeenAt > target.silentAfterS;
  const serials: string[] = [];
  let count = 0;
  for (let after: string | undefined; ; ) {
    const page = await storage.listGateways(product, { after, limit: 1000, chosen: isSilent });
    for (const { serial, lastSeenAt } of page.items) {
      if (!(await isFresh(storage, `${target.id}/${product}/${serial}`, lastSeenAt))) continue;
      count += 1;
      if (serials.length < MOST_NAMED) serials.push(serial);
    }
    if (page.next === undefined) break;
    after = page.next;
  }
  if (count === 0) return undefined;
  const noun = count === 1 ? 'gateway is' : 'gateways are';
  const title = `${count} ${noun} silent for more than ${Math.round(target.silentAfterS / 3600)} h`;
  const text = [
    title,
    ...serials,
    ...(count > serials.length ? [`and ${count - serials.length} more`] : []),
  ].join('\n');
  return { key: `silent:${product}:${at}`, kind: 'silent', product, at, title, text };
}

/** Whether this silence has not been reported yet; if so, it is noted as reported. */
async function isFresh(storage: Storage, key: string, lastSeenAt: number): Promise<boolean> {
  if ((await storage.findRecord('told', key)) === String(lastSeenAt)) return false;
  return storage.changeRecord({ kind: 'told', key }, () => ({
    result: true,
    put: { body: String(lastSeenAt) },
  }));
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
