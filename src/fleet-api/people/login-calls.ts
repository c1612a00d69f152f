/** Logging in and out, and what people do with their own accounts. */
import * as v from 'valibot';
import { addAttempt, MOST_OF_ACCOUNT, MOST_OF_ADDRESS } from '../../fleet/people/attempts.ts';
import { OPERATOR_NAME, type Operator, showOperator } from '../../fleet/people/operator.ts';
import {
  checkPassword,
  hashPassword,
  MAX_PASSWORD_CHARS,
  MIN_PASSWORD_CHARS,
} from '../../fleet/people/passwords.ts';
import { makeTotpSecret, totpUri } from '../../fleet/people/totp.ts';
import { Refusal } from '../../platform/http/exchange.ts';
import type { RecordStorage } from '../../platform/storage/record-storage.ts';
import { type Answer, type ApiCall, bodyOf, type FleetContext, type Request } from '../call.ts';
import { openedSession } from '../session-calls.ts';
import { changeOperator, findOperator, newGeneration, openLogin } from './operators.ts';
import { checkSecret, sealSecret } from './second-factors.ts';

const PASSWORD = v.pipe(v.string(), v.maxLength(MAX_PASSWORD_CHARS));
const NEW_PASSWORD = v.pipe(v.string(), v.minLength(MIN_PASSWORD_CHARS), v.maxLength(MAX_PASSWORD_CHARS));
const CODE = v.pipe(v.string(), v.regex(/^\d{6}$/, 'expected six digits'));
const LOGIN = v.object({
  name: v.pipe(v.string(), v.regex(OPERATOR_NAME, 'expected the name of an operator')),
  password: PASSWORD,
  code: v.optional(CODE),
});
const CHANGE = v.object({ password: PASSWORD, newPassword: NEW_PASSWORD });
const CONFIRM = v.object({ code: CODE });
const WITH_PASSWORD = v.object({ password: PASSWORD });

export const loginCalls: readonly ApiCall[] = [
  {
    method: 'POST',
    path: '/login',
    permission: 'anyone',
    summary: 'Open a session, with the code of the second factor where there is one',
    schema: LOGIN,
    run: logIn,
  },
  {
    method: 'GET',
    path: '/me',
    permission: 'self',
    summary: 'Who is asking, and what he may do',
    run: async ({ storage }, { actor }) => {
      const operator = actor.kind === 'person' ? await findOperator(storage, actor.name) : undefined;
      const own =
        operator === undefined ? { name: actor.name, grants: actor.grants } : showOperator(operator);
      return { body: { ...own, kind: actor.kind } };
    },
  },
  {
    method: 'POST',
    path: '/me/password',
    permission: 'self',
    summary: 'Change the own password; other sessions end',
    schema: CHANGE,
    run: changePassword,
  },
  {
    method: 'POST',
    path: '/me/second-factor',
    permission: 'self',
    summary: 'Begin a second factor: the secret for an authenticator app',
    schema: WITH_PASSWORD,
    run: beginSecondFactor,
  },
  {
    method: 'POST',
    path: '/me/second-factor/confirm',
    permission: 'self',
    summary: 'Turn the second factor on by a code of it',
    schema: CONFIRM,
    run: confirmSecondFactor,
  },
];

/** The answer that opens a session of this person. */
export async function loggedIn(context: FleetContext, request: Request, operator: Operator): Promise<Answer> {
  const actor = await openLogin(context.storage, operator, request.audit('login', operator.name));
  const opened = await openedSession(context, request, actor);
  return { ...opened, status: 200, body: { ...showOperator(operator), ...Object(opened.body) } };
}

async function logIn(context: FleetContext, request: Request): Promise<Answer> {
  const { storage } = context;
  const { name, password, code } = bodyOf(LOGIN, request.body);
  await countAttempt(storage, request, name);
  const operator = await findOperator(storage, name);
  if (!(await checkPassword(password, operator?.password)) || operator === undefined)
    throw new Refusal(401, 'cannot log in: name or password is wrong');
  const opened = operator.totp === undefined ? operator : await checkCode(context, operator, code, request);
  await forgetAttempts(storage, request, name);
  return loggedIn(context, request, opened);
}

/** Refuses a code that was used before, on whichever replica. */
function checkCode(
  { storage, sealer }: FleetContext,
  { name }: Operator,
  code: string | undefined,
  request: Request,
): Promise<Operator> {
  if (code === undefined) throw new Refusal(401, 'cannot log in: expected the code of the second factor too');
  return changeOperator(storage, name, (operator) => {
    const { totp: kept = '', totpStep: lastStep } = operator;
    const checked = checkSecret(sealer, { name, kept }, code, { at: request.at, lastStep });
    if (checked === undefined)
      throw new Refusal(401, 'cannot log in: the code of the second factor is wrong');
    return { ...operator, totp: checked.kept, totpStep: checked.step };
  });
}

const ATTEMPT_KIND = 'attempt';
const AttemptsSchema = v.object({ count: v.number(), since: v.number() });

/**
 * Refuses with 429 after too many tries: for this account from this address, or for any account from this address.
 */
async function countAttempt(storage: RecordStorage, { address }: Request, name: string): Promise<void> {
  for (const [key, most] of [
    [`${name}@${address}`, MOST_OF_ACCOUNT],
    [`@${address}`, MOST_OF_ADDRESS],
  ] as const) {
    const retryAfterS = await storage.changeRecord({ kind: ATTEMPT_KIND, key }, (found, nowS) => {
      const before = found === undefined ? undefined : v.parse(AttemptsSchema, JSON.parse(found));
      const added = addAttempt(before, most, nowS);
      if ('retryAfterS' in added) return { result: added.retryAfterS };
      return { result: 0, put: { body: JSON.stringify(added.attempts), endsAt: added.endsAt } };
    });
    if (retryAfterS > 0)
      throw new Refusal(429, 'cannot log in: too many tries from this address, try again later', {
        'retry-after': String(retryAfterS),
      });
  }
}

async function forgetAttempts(storage: RecordStorage, { address }: Request, name: string): Promise<void> {
  const which = { kind: ATTEMPT_KIND, key: `${name}@${address}` };
  await storage.changeRecord(which, () => ({ result: undefined, isRemoved: true }));
}

/**
 * The person of this session, who has given the password once more. Refuses with 401 if it is wrong, and with 409 if
 * the account has none.
 */
async function confirmPerson(
  { storage }: FleetContext,
  request: Request,
  password: string,
): Promise<Operator> {
  const { name, kind } = request.actor;
  const operator = kind === 'person' ? await findOperator(storage, name) : undefined;
  if (operator?.password === undefined)
    throw new Refusal(409, 'cannot change this account: it has no password here');
  await countAttempt(storage, request, name);
  if (!(await checkPassword(password, operator.password)))
    throw new Refusal(401, 'cannot change this account: the password is wrong');
  await forgetAttempts(storage, request, name);
  return operator;
}

async function changePassword(context: FleetContext, request: Request): Promise<Answer> {
  const { password, newPassword } = bodyOf(CHANGE, request.body);
  const { name } = await confirmPerson(context, request, password);
  const hash = await hashPassword(newPassword);
  const operator = await changeOperator(
    context.storage,
    name,
    (now) => ({ ...now, password: hash, mustChange: false, generation: newGeneration() }),
    request.audit('operator.password', name),
  );
  return loggedIn(context, request, operator);
}

async function beginSecondFactor(context: FleetContext, request: Request): Promise<Answer> {
  const { password } = bodyOf(WITH_PASSWORD, request.body);
  const { name } = await confirmPerson(context, request, password);
  const secret = makeTotpSecret();
  const sealed = sealSecret(context.sealer, secret, name);
  await changeOperator(
    context.storage,
    name,
    (now) => ({ ...now, totpBegun: sealed }),
    request.audit('operator.second-factor.begin', name),
  );
  return { body: { secret, uri: totpUri(secret, name) }, again: { secret: null } };
}

async function confirmSecondFactor(context: FleetContext, request: Request): Promise<Answer> {
  const { code } = bodyOf(CONFIRM, request.body);
  if (request.actor.kind !== 'person')
    throw new Refusal(409, 'cannot confirm: this is no account of a person');
  const operator = await changeOperator(
    context.storage,
    request.actor.name,
    ({ totpBegun, ...now }) => {
      if (totpBegun === undefined) throw new Refusal(409, 'cannot confirm: no second factor was begun');
      const begun = { name: now.name, kept: totpBegun };
      const checked = checkSecret(context.sealer, begun, code, { at: request.at, lastStep: 0 });
      if (checked === undefined)
        throw new Refusal(422, 'cannot confirm: the code is wrong; is the clock right?');
      return { ...now, totp: checked.kept, totpStep: checked.step, generation: newGeneration() };
    },
    request.audit('operator.second-factor', request.actor.name),
  );
  return loggedIn(context, request, operator);
}
