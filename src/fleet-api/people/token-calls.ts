/** Tokens, and the audit. */
import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { ROLES } from '../../fleet/people/roles.ts';
import { makeToken } from '../../fleet/people/tokens.ts';
import { Refusal } from '../../platform/http/exchange.ts';
import {
  type Answer,
  type ApiCall,
  bodyOf,
  type FleetContext,
  limitOf,
  nameOf,
  type Request,
} from '../call.ts';
import { TOKEN_USE_KIND } from '../identity.ts';

const LONGEST_DAYS = 3650;
const TOKEN = v.object({
  name: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.@-]{1,64}$/, 'expected up to 64 letters, digits, _ . @ -')),
  role: v.picklist(ROLES),
  /** `*` for all. */
  product: v.pipe(v.string(), v.minLength(1), v.maxLength(255)),
  days: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LONGEST_DAYS)),
});

export const tokenCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/tokens',
    permission: 'token.write',
    summary: 'Tokens, without their secrets',
    run: async ({ storage }) => {
      const tokens = await storage.listTokens();
      const uses = tokens.map(({ id }) => storage.findRecord(TOKEN_USE_KIND, id));
      const lastUses = await Promise.all(uses);
      return {
        body: {
          tokens: tokens.map(({ digest: _, ...token }, at) => ({
            ...token,
            lastUsedAt: Number(lastUses[at] ?? 0),
          })),
        },
      };
    },
  },
  {
    method: 'POST',
    path: '/tokens',
    permission: 'token.write',
    summary: 'Make a token; its text is shown this once',
    schema: TOKEN,
    run: createToken,
  },
  {
    method: 'DELETE',
    path: '/tokens/{token}',
    permission: 'token.write',
    summary: 'Revoke a token',
    run: async ({ storage }, request) => {
      const id = nameOf(request, 'token');
      if (!(await storage.removeToken(id, request.audit('token.remove', id))))
        throw new Refusal(404, 'no such token');
      return { body: { id, removed: true } };
    },
  },
  {
    method: 'GET',
    path: '/audit',
    permission: 'audit.read',
    summary: 'What people and rules did, chained by digest',
    query: ['after', 'limit', 'newest'],
    run: async ({ storage }, { query }) => {
      const limit = limitOf(query);
      const isNewest = query.get('newest') === 'true';
      const after = isNewest
        ? Math.max(0, (await lastOf(storage)) - limit)
        : Number(query.get('after') ?? 0) || 0;
      return { body: { entries: await storage.listAudit(after, limit) } };
    },
  },
];

/** The number of the last entry. Numbers have no gaps, so it is found by doubling and halving. */
async function lastOf(storage: FleetContext['storage']): Promise<number> {
  const isThere = async (number: number): Promise<boolean> =>
    (await storage.listAudit(number - 1, 1)).length > 0;
  let high = 1;
  while (await isThere(high)) high *= 2;
  let low = Math.floor(high / 2);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await isThere(middle)) low = middle;
    else high = middle;
  }
  return low;
}

async function createToken({ storage }: FleetContext, request: Request): Promise<Answer> {
  const { name, role, product, days } = bodyOf(TOKEN, request.body);
  const { text, id, digest } = makeToken(randomBytes(38));
  const token = { id, name, grants: [{ role, product }], expiresAt: request.at + days * 86_400 };
  const audit = { ...request.audit('token.create', id), after: JSON.stringify(token) };
  await storage.putToken({ ...token, digest }, audit);
  return { status: 201, body: { ...token, text }, again: token };
}
