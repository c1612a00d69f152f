/** Who receives which notices, and what became of each notice. */
import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { Refusal } from '../../platform/http/exchange.ts';
import {
  type Answer,
  type ApiCall,
  bodyOf,
  type FleetContext,
  lineOf,
  nameOf,
  type Request,
} from '../call.ts';
import { DELIVERY_KIND, deliveryKey, NOTICE_KINDS, type Notice, TARGET_KIND, type Target } from './notice.ts';
import { enqueue, listDeliveries, listTargets } from './notifier.ts';
import { sealTarget } from './target-secrets.ts';

const HOUR_S = 3600;
const MOST_TARGETS = 200;
const TARGET = v.object({
  product: v.pipe(lineOf(255), v.minLength(1)),
  url: v.pipe(
    lineOf(1000),
    v.regex(
      /^(https?:\/\/[^\s/@]+(\/\S*)?|mailto:[^\s@,;:<>"]{1,64}@[^\s@,;:<>"]{1,255})$/,
      'expected https://HOST/... or mailto:NAME@HOST',
    ),
  ),
  kinds: v.pipe(v.array(v.picklist(NOTICE_KINDS)), v.minLength(1)),
  silentAfterS: v.optional(v.pipe(v.number(), v.integer(), v.minValue(60), v.maxValue(365 * 24 * HOUR_S))),
});
const REPORT = v.object({
  kind: v.picklist(['backup-failed']),
  text: v.pipe(lineOf(500), v.minLength(1)),
});

export const noticeCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/targets',
    permission: 'notice.write',
    summary: 'Who is told of what, and what could not be sent',
    run: listAll,
  },
  {
    method: 'POST',
    path: '/targets',
    permission: 'notice.write',
    summary: 'Tell a webhook or an address of mail; what signs the bodies is shown this once',
    schema: TARGET,
    run: addTarget,
  },
  {
    method: 'DELETE',
    path: '/targets/{target}',
    permission: 'notice.write',
    summary: 'Tell it no more',
    run: async ({ storage }, request) => {
      const id = nameOf(request, 'target');
      await storage.changeRecord({ kind: TARGET_KIND, key: id }, (found) => {
        if (found === undefined) throw new Refusal(404, 'no such target');
        return { result: undefined, isRemoved: true, audit: request.audit('target.remove', id) };
      });
      return { body: { id, removed: true } };
    },
  },
  {
    method: 'POST',
    path: '/targets/{target}/test',
    permission: 'notice.write',
    summary: 'Send it a notice, to see that it arrives',
    run: testTarget,
  },
  {
    method: 'POST',
    path: '/notices',
    permission: 'notice.write',
    summary: 'Tell what the platform cannot know by itself: that a backup has failed',
    schema: REPORT,
    run: async ({ storage }, request) => {
      const { kind, text } = bodyOf(REPORT, request.body);
      const notice: Notice = {
        key: `${kind}:${request.at}`,
        kind,
        product: '*',
        at: request.at,
        title: text,
        text,
      };
      return { body: { queued: await enqueue(storage, await listTargets(storage), notice) } };
    },
  },
];

async function listAll({ storage }: FleetContext): Promise<Answer> {
  const deliveries = await listDeliveries(storage);
  const targets = (await listTargets(storage)).map(({ secret: _, ...target }) => {
    const own = deliveries.map(({ delivery }) => delivery).filter((one) => one.target === target.id);
    const count = (state: string): number => own.filter((one) => one.state === state).length;
    const lastError = own.find(({ error }) => error !== '')?.error ?? '';
    return { ...target, sent: count('sent'), waiting: count('due'), givenUp: count('given-up'), lastError };
  });
  return { body: { targets } };
}

async function addTarget({ storage, sealer }: FleetContext, request: Request): Promise<Answer> {
  const { product, url, kinds, silentAfterS = 24 * HOUR_S } = bodyOf(TARGET, request.body);
  if ((await listTargets(storage)).length >= MOST_TARGETS)
    throw new Refusal(409, `cannot tell more than ${MOST_TARGETS}: remove one first`);
  const id = randomBytes(4).toString('hex');
  const isMail = url.startsWith('mailto:');
  const secret = isMail ? '' : randomBytes(24).toString('base64url');
  const target: Target = { id, product, url, kinds, silentAfterS, secret };
  const { secret: _, ...shown } = target;
  const kept = JSON.stringify(sealTarget(sealer, target));
  await storage.changeRecord({ kind: TARGET_KIND, key: id }, () => ({
    result: undefined,
    put: { body: kept },
    audit: { ...request.audit('target.add', id), after: JSON.stringify(shown) },
  }));
  return { status: 201, body: isMail ? shown : target, again: shown };
}

async function testTarget({ storage }: FleetContext, request: Request): Promise<Answer> {
  const id = nameOf(request, 'target');
  const target = (await listTargets(storage)).find((one) => one.id === id);
  const [kind] = target?.kinds ?? [];
  if (target === undefined || kind === undefined) throw new Refusal(404, 'no such target');
  const text = `a test of ${request.actor.name}: nothing has happened`;
  const notice: Notice = { key: `test:${request.at}`, kind, product: '*', at: request.at, title: text, text };
  await enqueue(storage, [target], notice);
  return { body: { id, delivery: `${DELIVERY_KIND}/${deliveryKey(target, notice)}` } };
}
