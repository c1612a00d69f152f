/** People and what they may do, for an admin and for the server's own token. */
import * as v from 'valibot';
import { OPERATOR_NAME, type Operator, showOperator } from '../../fleet/people/operator.ts';
import { hashPassword, randomPassword } from '../../fleet/people/passwords.ts';
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
import { changeOperator, decodeOperator, GRANTS, newGeneration, OPERATOR_KIND } from './operators.ts';

const OPERATOR = v.object({
  name: v.pipe(v.string(), v.regex(OPERATOR_NAME, 'expected up to 64 letters, digits, _ . @ + -')),
  grants: GRANTS,
  /** Without a password the person can sign in only by single sign-on. */
  withPassword: v.optional(v.boolean()),
});
const ROLES_OF = v.object({ grants: GRANTS });

export const operatorCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/operators',
    permission: 'operator.write',
    summary: 'People and what they may do, by name',
    query: ['after', 'limit'],
    run: async ({ storage }, { query }) => {
      const page = { after: query.get('after') ?? undefined, limit: limitOf(query) };
      const { items, next } = await storage.listRecords(OPERATOR_KIND, page);
      return {
        body: { operators: items.map(({ body }) => showOperator(decodeOperator(body))), next: next ?? null },
      };
    },
  },
  {
    method: 'POST',
    path: '/operators',
    permission: 'operator.write',
    summary: 'Add a person; the first password is shown this once, and has to be changed',
    schema: OPERATOR,
    run: addOperator,
  },
  {
    method: 'PUT',
    path: '/operators/{operator}/grants',
    permission: 'operator.write',
    summary: 'Change what a person may do',
    schema: ROLES_OF,
    run: changeGrants,
  },
  {
    method: 'POST',
    path: '/operators/{operator}/reset',
    permission: 'server',
    summary: 'Recover an account, on the server: a new password, and no second factor',
    run: resetOperator,
  },
  {
    method: 'DELETE',
    path: '/operators/{operator}',
    permission: 'operator.write',
    summary: 'Remove a person; sessions end at once',
    run: removeOperator,
  },
];

async function addOperator({ storage }: FleetContext, request: Request): Promise<Answer> {
  const { name, grants, withPassword = true } = bodyOf(OPERATOR, request.body);
  const text = withPassword ? randomPassword() : undefined;
  const operator: Operator = {
    name,
    grants,
    mustChange: withPassword,
    totpStep: 0,
    generation: newGeneration(),
    createdAt: request.at,
    ...(text === undefined ? {} : { password: await hashPassword(text) }),
  };
  const audit = { ...request.audit('operator.add', name), after: JSON.stringify(grants) };
  await storage.changeRecord({ kind: OPERATOR_KIND, key: name }, (found) => {
    if (found !== undefined)
      throw new Refusal(409, `cannot add '${name}': there is an operator of this name`);
    return { result: undefined, put: { body: JSON.stringify(operator) }, audit };
  });
  const again = showOperator(operator);
  return { status: 201, body: { ...again, ...(text === undefined ? {} : { password: text }) }, again };
}

async function changeGrants({ storage }: FleetContext, request: Request): Promise<Answer> {
  const { grants } = bodyOf(ROLES_OF, request.body);
  const name = nameOf(request, 'operator');
  const audit = { ...request.audit('operator.grants', name), after: JSON.stringify(grants) };
  return { body: showOperator(await changeOperator(storage, name, (now) => ({ ...now, grants }), audit)) };
}

async function resetOperator({ storage }: FleetContext, request: Request): Promise<Answer> {
  const name = nameOf(request, 'operator');
  const text = randomPassword();
  const password = await hashPassword(text);
  const operator = await changeOperator(
    storage,
    name,
    ({ totp: _, totpBegun: __, ...now }) => ({
      ...now,
      password,
      mustChange: true,
      generation: newGeneration(),
    }),
    request.audit('operator.reset', name),
  );
  const again = showOperator(operator);
  return { body: { ...again, password: text }, again };
}

async function removeOperator({ storage }: FleetContext, request: Request): Promise<Answer> {
  const name = nameOf(request, 'operator');
  if (request.actor.kind === 'person' && request.actor.name === name)
    throw new Refusal(409, 'cannot remove the own account: another admin can, or the server');
  await storage.changeRecord({ kind: OPERATOR_KIND, key: name }, (found) => {
    if (found === undefined) throw new Refusal(404, 'no such operator');
    return { result: undefined, isRemoved: true, audit: request.audit('operator.remove', name) };
  });
  return { body: { name, removed: true } };
}
