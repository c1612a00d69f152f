/** People as stored records: operators, and their sessions. */
import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import type { AuditFacts } from '../../fleet/people/audit.ts';
import type { Operator } from '../../fleet/people/operator.ts';
import { ROLES } from '../../fleet/people/roles.ts';
import { SESSION_SECONDS } from '../../fleet/people/sessions.ts';
import { Refusal } from '../../platform/http/exchange.ts';
import type { RecordStorage } from '../../platform/storage/record-storage.ts';
import type { Actor } from '../call.ts';

export const OPERATOR_KIND = 'operator';
const LOGIN_KIND = 'login';

export const GRANTS = v.pipe(
  v.array(
    v.object({ role: v.picklist(ROLES), product: v.pipe(v.string(), v.minLength(1), v.maxLength(255)) }),
  ),
  v.maxLength(100),
);

const OperatorSchema = v.object({
  name: v.string(),
  grants: v.array(v.object({ role: v.picklist(ROLES), product: v.string() })),
  password: v.optional(v.string()),
  mustChange: v.boolean(),
  totp: v.optional(v.string()),
  totpBegun: v.optional(v.string()),
  totpStep: v.number(),
  generation: v.string(),
  createdAt: v.number(),
});

export function decodeOperator(text: string): Operator {
  return v.parse(OperatorSchema, JSON.parse(text));
}

export async function findOperator(storage: RecordStorage, name: string): Promise<Operator | undefined> {
  const text = await storage.findRecord(OPERATOR_KIND, name);
  return text === undefined ? undefined : decodeOperator(text);
}

/** Refuses with 404 where there is no operator of this name. */
export function changeOperator(
  storage: RecordStorage,
  name: string,
  change: (operator: Operator) => Operator,
  audit?: AuditFacts,
): Promise<Operator> {
  return storage.changeRecord({ kind: OPERATOR_KIND, key: name }, (found) => {
    if (found === undefined) throw new Refusal(404, 'no such operator');
    const operator = change(decodeOperator(found));
    return { result: operator, put: { body: JSON.stringify(operator) }, audit };
  });
}

/** A new generation ends the existing sessions. */
export function newGeneration(): string {
  return randomBytes(8).toString('hex');
}

const LoginSchema = v.object({ operator: v.string(), generation: v.string(), expiresAt: v.number() });

/** Records a new login of this person, which a session names until it ends. */
export async function openLogin(
  storage: RecordStorage,
  operator: Operator,
  audit: AuditFacts,
): Promise<Actor> {
  const id = randomBytes(6).toString('hex');
  const expiresAt = audit.at + SESSION_SECONDS;
  const { name, generation } = operator;
  await storage.changeRecord({ kind: LOGIN_KIND, key: id }, (_, nowS) => ({
    result: undefined,
    put: {
      body: JSON.stringify({ operator: name, generation, expiresAt }),
      endsAt: nowS + SESSION_SECONDS,
    },
    audit: { ...audit, actor: name },
  }));
  return actorOf(operator, id, expiresAt);
}

export function closeLogin(storage: RecordStorage, id: string): Promise<void> {
  return storage.changeRecord({ kind: LOGIN_KIND, key: id }, () => ({ result: undefined, isRemoved: true }));
}

/** The person of a login; `undefined` for a login that has expired, or was ended by a change of the account. */
export async function findLogin(storage: RecordStorage, id: string): Promise<Actor | undefined> {
  const text = await storage.findRecord(LOGIN_KIND, id);
  if (text === undefined) return undefined;
  const login = v.parse(LoginSchema, JSON.parse(text));
  const operator = await findOperator(storage, login.operator);
  if (operator === undefined || operator.generation !== login.generation) return undefined;
  return actorOf(operator, id, login.expiresAt);
}

/** Until the password that the platform made is changed, the person may do nothing else. */
function actorOf({ name, mustChange, grants }: Operator, credential: string, expiresAt: number): Actor {
  return { name, grants: mustChange ? [] : grants, kind: 'person', credential, expiresAt };
}
