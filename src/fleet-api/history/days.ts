/** The versions of a fleet as they were once a day: counted when the first platform looks that day, and kept for a year. */
import * as v from 'valibot';
import type { FleetStorage } from '../../platform/storage/fleet-storage.ts';
import type { RecordStorage } from '../../platform/storage/record-storage.ts';

export const MOST_DAYS = 366;
const DAY_S = 86_400;
const KIND = 'day';
/** The most frequent ones are kept, so that a record stays small, whatever gateways report. */
const [MOST_APPS, MOST_VERSIONS] = [20, 10];

const DAY = v.object({
  /** Unix seconds of its beginning, in UTC. */
  day: v.number(),
  gateways: v.number(),
  /** Bytes of this month until then, by the ledgers of the gateways. */
  monthBytes: v.number(),
  /** Of this month until then, what patches and chunks kept from being fetched. Days counted before it was have none. */
  savedBytes: v.optional(v.number()),
  apps: v.record(v.string(), v.record(v.string(), v.number())),
});
type Day = v.InferOutput<typeof DAY>;

const nameOfDay = (day: number): string => new Date(day * 1000).toISOString().slice(0, 10);
const keyOf = (product: string, day: number): string => `${encodeURIComponent(product)}/${nameOfDay(day)}`;

/** Counts the fleet of this product, unless this has been done since the beginning of the day. */
export async function keepDay(
  storage: FleetStorage & RecordStorage,
  product: string,
  at: number,
): Promise<void> {
  const day = Math.floor(at / DAY_S) * DAY_S;
  const which = { kind: KIND, key: keyOf(product, day) };
  if ((await storage.findRecord(which.kind, which.key)) !== undefined) return;
  const counted = await countDay(storage, product, day);
  if (counted.gateways === 0) return;
  await storage.changeRecord(which, (found, nowS) => ({
    result: undefined,
    put: { body: found ?? JSON.stringify(counted), endsAt: nowS + MOST_DAYS * DAY_S },
  }));
}

async function countDay(storage: FleetStorage, product: string, day: number): Promise<Day> {
  const month = nameOfDay(day).slice(0, 7);
  const apps = new Map<string, Map<string, number>>();
  let [gateways, monthBytes, savedBytes] = [0, 0, 0];
  for (let after: string | undefined; ; ) {
    const page = await storage.listGateways(product, { after, limit: 1000 });
    for (const { apps: own, traffic, saved } of page.items) {
      gateways += 1;
      if (traffic?.month === month) monthBytes += traffic.monthBytes;
      if (saved?.month === month) savedBytes += saved.monthBytes;
      for (const [app, { version }] of own) {
        const found = apps.get(app) ?? new Map<string, number>();
        apps.set(app, found.set(version, (found.get(version) ?? 0) + 1));
      }
    }
    if (page.next === undefined) break;
    after = page.next;
  }
  const sumOf = (versions: ReadonlyMap<string, number>): number =>
    [...versions.values()].reduce((sum, count) => sum + count, 0);
  const kept = [...apps].sort(([, one], [, other]) => sumOf(other) - sumOf(one)).slice(0, MOST_APPS);
  const ofApps = kept.map(([app, versions]): [string, Record<string, number>] => [
    app,
    Object.fromEntries([...versions].sort(([, one], [, other]) => other - one).slice(0, MOST_VERSIONS)),
  ]);
  return { day, gateways, monthBytes, savedBytes, apps: Object.fromEntries(ofApps) };
}

/** The days that were counted among the last `count`, the oldest first. */
export async function listDays(
  storage: RecordStorage,
  product: string,
  { at, count }: { at: number; count: number },
): Promise<Day[]> {
  const today = Math.floor(at / DAY_S) * DAY_S;
  const after = keyOf(product, today - count * DAY_S);
  const { items } = await storage.listRecords(KIND, { after, limit: count });
  const last = keyOf(product, today);
  return items.filter(({ key }) => key <= last).map(({ body }) => v.parse(DAY, JSON.parse(body)));
}
