/** Notifies people: finds what there is to report, stores it until it is sent, and tries again. */
import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { allItems } from '../../platform/storage/page.ts';
import type { RecordStorage } from '../../platform/storage/record-storage.ts';
import type { Storage } from '../../platform/storage/storage.ts';
import { keepDay } from '../history/days.ts';
import { findCertificate, findDecisions, findLoops, findSilent } from './find-notices.ts';
import {
  afterTry,
  DELIVERY_KIND,
  type Delivery,
  DeliverySchema,
  decodeTarget,
  deliveryKey,
  KEPT_S,
  type Notice,
  TARGET_KIND,
  type Target,
  wants,
} from './notice.ts';
import { sendNotice, type Ways } from './send.ts';
import { sealOldTargets } from './target-secrets.ts';

export interface NotifierOptions extends Ways {
  /** Unix seconds of the end of the platform's own certificate. */
  readonly certificateEndsAt?: number | undefined;
}

interface Context {
  readonly storage: Storage;
  readonly clock: Pick<Clock, 'wallMs' | 'sleep'>;
  readonly log: Logger;
}

const LOOK_EVERY_MS = 5000;
const LEASE_S = 30;
const FIND_EVERY_S = 60;
const SILENT_EVERY_S = 600;
const SWEEP_EVERY_S = 300;
const DAYS_EVERY_S = 600;
/** How many notices may wait for one target; beyond that no more are stored for it. */
const MOST_WAITING = 1000;
const MOST_TOGETHER = 4;

/** Runs until `signal`. Never rejects: errors are logged, and the work is tried again. */
export async function keepNotifying(
  context: Context,
  options: NotifierOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log, storage } = context;
  const holder = randomBytes(8).toString('hex');
  while (!signal.aborted) {
    await clock.sleep(LOOK_EVERY_MS, signal);
    if (signal.aborted) return;
    try {
      if (!(await takeLease(storage, holder))) continue;
      if (await isTime(storage, 'sweep', SWEEP_EVERY_S)) await storage.sweepRecords();
      if (await isTime(storage, 'days', DAYS_EVERY_S)) await keepDays(context);
      await notifyOnce(context, options);
    } catch (error) {
      log.warn('platform.notices', {}, describeError(error));
    }
  }
}

/** One of the platforms that share a database does the work. */
function takeLease(storage: Storage, holder: string): Promise<boolean> {
  return storage.changeRecord({ kind: 'lease', key: 'notices' }, (found, nowS) =>
    found === undefined || found === holder
      ? { result: true, put: { body: holder, endsAt: nowS + LEASE_S } }
      : { result: false },
  );
}

async function keepDays({ storage, clock }: Context): Promise<void> {
  for (const product of await allItems((page) => storage.listProducts(page)))
    await keepDay(storage, product, Math.floor(clock.wallMs() / 1000));
}

/** One round: finds what is new, where it is time to look, and sends what is due. */
export async function notifyOnce(context: Context, options: NotifierOptions): Promise<void> {
  const { storage, clock } = context;
  const targets = await listTargets(storage);
  if (targets.length === 0) return;
  await sealOldTargets(storage, options.sealer, targets);
  const nowS = Math.floor(clock.wallMs() / 1000);
  if (await isTime(storage, 'find', FIND_EVERY_S)) await findAll(context, options, targets, nowS);
  await sendDue(context, options, targets);
}

export async function listTargets(storage: Pick<RecordStorage, 'listRecords'>): Promise<Target[]> {
  const records = await allItems((page) => storage.listRecords(TARGET_KIND, page));
  return records.map(({ body }) => decodeTarget(body));
}

function isTime(storage: Storage, what: string, everyS: number): Promise<boolean> {
  return storage.changeRecord({ kind: 'turn', key: what }, (found, nowS) =>
    found === undefined ? { result: true, put: { body: '', endsAt: nowS + everyS } } : { result: false },
  );
}

async function findAll(
  { storage }: Context,
  { certificateEndsAt }: NotifierOptions,
  targets: readonly Target[],
  at: number,
): Promise<void> {
  const newest = await storage.lastEventId();
  const after = Number((await storage.findRecord('cursor', 'notices')) ?? newest);
  const isSilentTime = await isTime(storage, 'silent', SILENT_EVERY_S);
  for (const product of await allItems((page) => storage.listProducts(page))) {
    const here = targets.filter((target) => target.product === '*' || target.product === product);
    if (here.length === 0) continue;
    const notices = [
      ...(await findDecisions(storage, product, at)),
      ...(await findLoops(storage, product, { after, at })),
    ];
    for (const notice of notices) await enqueue(storage, here, notice);
    for (const target of here.filter(({ kinds }) => isSilentTime && kinds.includes('silent'))) {
      const silent = await findSilent(storage, product, target, at);
      if (silent === undefined) continue;
      await enqueue(storage, [target], silent.notice);
      await silent.markReported();
    }
  }
  for (const notice of certificateEndsAt === undefined ? [] : findCertificate(certificateEndsAt, at))
    await enqueue(storage, targets, notice);
  await storage.changeRecord({ kind: 'cursor', key: 'notices' }, () => ({
    result: undefined,
    put: { body: String(newest) },
  }));
}

/** Stores a notice once for each target that wants it. */
export async function enqueue(
  storage: Pick<RecordStorage, 'changeRecord'>,
  targets: readonly Target[],
  notice: Notice,
): Promise<number> {
  let count = 0;
  for (const target of targets.filter((one) => wants(one, notice))) {
    const delivery: Delivery = { target: target.id, notice, state: 'due', attempts: 0, dueAt: 0, error: '' };
    const which = { kind: DELIVERY_KIND, key: deliveryKey(target, notice) };
    count += await storage.changeRecord(which, (found, nowS) =>
      found === undefined
        ? { result: 1, put: { body: JSON.stringify(delivery), endsAt: nowS + KEPT_S } }
        : { result: 0 },
    );
  }
  return count;
}

async function sendDue(
  { storage, clock, log }: Context,
  ways: Ways,
  targets: readonly Target[],
): Promise<void> {
  const nowS = Math.floor(clock.wallMs() / 1000);
  const all = await listDeliveries(storage);
  const waiting = new Map<string, number>();
  const due: { key: string; delivery: Delivery; target: Target }[] = [];
  for (const { key, delivery } of all) {
    if (delivery.state !== 'due') continue;
    const target = targets.find(({ id }) => id === delivery.target);
    const count = (waiting.get(delivery.target) ?? 0) + 1;
    waiting.set(delivery.target, count);
    if (target === undefined || count > MOST_WAITING) await forget(storage, key);
    else if (delivery.dueAt <= nowS) due.push({ key, delivery, target });
  }
  while (due.length > 0)
    await Promise.all(
      due.splice(0, MOST_TOGETHER).map(async ({ key, delivery, target }) => {
        const error = await sendNotice(ways, target, { ...delivery.notice, at: nowS }).then(
          () => undefined,
          (failure: unknown) =>
            describeError(failure)
              .replace(/\p{Cc}/gu, ' ')
              .slice(0, 300),
        );
        const next = afterTry(delivery, error, nowS);
        if (next.state === 'given-up')
          log.warn('platform.notices', { target: target.id }, `gave up: ${next.error}`);
        await storage.changeRecord({ kind: DELIVERY_KIND, key }, (found, now) => ({
          result: undefined,
          ...(found === undefined ? {} : { put: { body: JSON.stringify(next), endsAt: now + KEPT_S } }),
        }));
      }),
    );
}

function forget(storage: Storage, key: string): Promise<void> {
  return storage.changeRecord({ kind: DELIVERY_KIND, key }, () => ({ result: undefined, isRemoved: true }));
}

export async function listDeliveries(storage: Storage): Promise<{ key: string; delivery: Delivery }[]> {
  const records = await allItems((page) => storage.listRecords(DELIVERY_KIND, page));
  return records.map(({ key, body }) => ({ key, delivery: v.parse(DeliverySchema, JSON.parse(body)) }));
}
