/** `gwe fleet operator` and `token`, `gwe platform operator`: people, programs, and what they may do. */
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';
import { ROLES } from '../../fleet/people/roles.ts';
import { printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import {
  CLIENT_LIST_OPTIONS,
  CLIENT_OPTIONS,
  oneLine,
  pathSegment,
  positional,
  printJson,
  renderTime,
} from '../platform/platform-options.ts';
import type { CommandCall, CommandSpec, OptionSpec } from '../shell/command.ts';
import { cell } from '../shell/screen.ts';
import { callFleet, queryOf } from './fleet-client.ts';

const GRANT = v.object({ role: v.string(), product: v.string() });
type Grant = v.InferOutput<typeof GRANT>;
const OPERATOR = v.looseObject({
  name: v.string(),
  grants: v.array(GRANT),
  hasPassword: v.boolean(),
  hasSecondFactor: v.boolean(),
  password: v.optional(v.string()),
});
type OperatorReply = v.InferOutput<typeof OPERATOR>;
const OPERATORS = v.object({ operators: v.array(OPERATOR), next: v.nullable(v.string()) });
const TOKEN = v.looseObject({
  id: v.string(),
  name: v.string(),
  grants: v.array(GRANT),
  expiresAt: v.number(),
  lastUsedAt: v.optional(v.number(), 0),
  text: v.optional(v.string()),
});
const TOKENS = v.object({ tokens: v.array(TOKEN) });
const REMOVED = v.looseObject({ removed: v.boolean() });

const ROLE_OPTIONS: readonly OptionSpec[] = [
  { name: 'role', value: 'ROLE', help: `one of ${ROLES.join(', ')}` },
  { name: 'product', value: 'PRODUCT', help: 'where the role holds', default: 'all' },
];
const ADD_OPTIONS: readonly OptionSpec[] = [
  ...ROLE_OPTIONS,
  { name: 'admin', help: 'may do everything; the same as --role admin' },
  { name: 'single-sign-on', help: 'comes by single sign-on alone' },
  ...CLIENT_OPTIONS,
];

/** The commands that run on the server, with its own token. */
export const serverOperatorCommands: readonly CommandSpec[] = [
  {
    path: ['platform', 'operator', 'add'],
    positionals: ['NAME'],
    summary: 'Add a person, such as the first admin, and print the first password',
    options: ADD_OPTIONS,
    run: addOperator,
  },
  {
    path: ['platform', 'operator', 'reset'],
    positionals: ['NAME'],
    summary: 'Recover an account: a new password, and no second factor',
    options: CLIENT_OPTIONS,
    run: resetOperator,
  },
];

export const peopleCommands: readonly CommandSpec[] = [
  {
    path: ['fleet', 'operator', 'add'],
    positionals: ['NAME'],
    summary: 'Add a person with a role, and print the first password',
    options: ADD_OPTIONS,
    run: addOperator,
  },
  {
    path: ['fleet', 'operator', 'grant'],
    positionals: ['NAME'],
    summary: 'Give a person this role instead of those before',
    options: [...ROLE_OPTIONS, ...CLIENT_OPTIONS],
    run: grantOperator,
  },
  {
    path: ['fleet', 'operator', 'list'],
    positionals: [],
    summary: 'List people, their roles and second factors',
    options: CLIENT_LIST_OPTIONS,
    run: listOperators,
  },
  {
    path: ['fleet', 'operator', 'remove'],
    positionals: ['NAME'],
    summary: 'Remove a person; sessions end at once',
    options: CLIENT_OPTIONS,
    run: removeOperator,
  },
  {
    path: ['fleet', 'token', 'create'],
    positionals: ['NAME'],
    summary: 'Make a token for a program or a person; it is shown this once',
    options: [
      ...ROLE_OPTIONS,
      { name: 'days', value: 'DAYS', help: 'how long it opens anything', default: '90' },
      ...CLIENT_OPTIONS,
    ],
    run: createToken,
  },
  {
    path: ['fleet', 'token', 'list'],
    positionals: [],
    summary: 'List tokens: whose, until when, and when last used',
    options: CLIENT_LIST_OPTIONS,
    run: listTokens,
  },
  {
    path: ['fleet', 'token', 'remove'],
    positionals: ['ID'],
    summary: 'Revoke a token',
    options: CLIENT_OPTIONS,
    run: removeToken,
  },
];

function grantOf(call: CommandCall): Grant {
  const role = call.options.has('admin') ? 'admin' : call.options.text('role');
  if (role === undefined)
    throw new GweError('USAGE_MISSING', `option --role is missing: expected one of ${ROLES.join(', ')}`);
  if (!ROLES.some((one) => one === role))
    throw new GweError('USAGE_BAD_VALUE', `cannot use --role '${role}': expected one of ${ROLES.join(', ')}`);
  const product = call.options.text('product') ?? '*';
  return { role, product: product === 'all' ? '*' : product };
}

function renderGrants(grants: readonly Grant[]): string {
  const words = grants.map(({ role, product }) => `${role} of ${product === '*' ? 'all' : oneLine(product)}`);
  return words.length === 0 ? 'no role' : words.join(', ');
}

async function addOperator(call: CommandCall): Promise<number> {
  const name = positional(call, 0, 'NAME');
  const body = { name, grants: [grantOf(call)], withPassword: !call.options.has('single-sign-on') };
  const what = `add operator '${name}'`;
  const added = await callFleet(call, OPERATOR, { method: 'POST', path: '/operators', body, what });
  return printPassword(call, added);
}

async function resetOperator(call: CommandCall): Promise<number> {
  const name = positional(call, 0, 'NAME');
  const path = `/operators/${pathSegment(name)}/reset`;
  return printPassword(
    call,
    await callFleet(call, OPERATOR, { method: 'POST', path, what: `reset '${name}'` }),
  );
}

function printPassword(call: CommandCall, operator: OperatorReply): number {
  const { name, grants, password } = operator;
  if (call.options.has('json')) {
    printJson(call, operator);
    return 0;
  }
  call.io.stdout(`${name}: ${renderGrants(grants)}\n`);
  if (password !== undefined)
    call.io.stdout(`first password, to be changed at the first login: ${password}\n`);
  return 0;
}

async function grantOperator(call: CommandCall): Promise<number> {
  const name = positional(call, 0, 'NAME');
  const path = `/operators/${pathSegment(name)}/grants`;
  const body = { grants: [grantOf(call)] };
  const operator = await callFleet(call, OPERATOR, { method: 'PUT', path, body, what: `change '${name}'` });
  return printPassword(call, operator);
}

async function listOperators(call: CommandCall): Promise<number> {
  const operators: OperatorReply[] = [];
  for (let after: string | undefined; ; ) {
    const path = `/operators${queryOf({ after, limit: '1000' })}`;
    const page = await callFleet(call, OPERATORS, { method: 'GET', path, what: 'list operators' });
    operators.push(...page.operators);
    if (page.next === null) break;
    after = page.next;
  }
  const printText = (): void => {
    if (operators.length === 0) call.io.stdout('no operators: gwe platform operator add NAME --admin\n');
    else
      printTable(
        call.io,
        [
          { title: 'NAME', rank: 0 },
          { title: 'SIGNS IN BY', rank: 2 },
          { title: 'ROLES', rank: 1, isText: true },
        ],
        operators.map((operator) =>
          [oneLine(operator.name), signInOf(operator), renderGrants(operator.grants)].map((text) =>
            cell(text),
          ),
        ),
      );
  };
  const fields = ['name', 'grants', 'hasPassword', 'hasSecondFactor'];
  printListing(call, { document: { operators }, fields, rows: operators, printText });
  return 0;
}

function signInOf({ hasPassword, hasSecondFactor }: OperatorReply): string {
  if (hasSecondFactor) return 'password and code';
  return hasPassword ? 'password' : 'single sign-on';
}

async function removeOperator(call: CommandCall): Promise<number> {
  const name = positional(call, 0, 'NAME');
  const path = `/operators/${pathSegment(name)}`;
  await callFleet(call, REMOVED, { method: 'DELETE', path, what: `remove '${name}'` });
  return printRemoved(call, name);
}

function printRemoved(call: CommandCall, name: string): number {
  if (call.options.has('json')) printJson(call, { name, removed: true });
  else call.io.stdout(`${name} is removed\n`);
  return 0;
}

async function createToken(call: CommandCall): Promise<number> {
  const name = positional(call, 0, 'NAME');
  const days = call.options.text('days') ?? '90';
  if (!/^\d{1,4}$/.test(days))
    throw new GweError('USAGE_BAD_VALUE', `cannot use --days '${days}': expected a number of days`);
  const body = { name, ...grantOf(call), days: Number(days) };
  const what = `make a token for '${name}'`;
  const token = await callFleet(call, TOKEN, { method: 'POST', path: '/tokens', body, what });
  if (call.options.has('json')) printJson(call, token);
  // Prints the token alone, so that it can go into a file.
  else call.io.stdout(`${token.text ?? ''}\n`);
  return 0;
}

async function listTokens(call: CommandCall): Promise<number> {
  const { tokens } = await callFleet(call, TOKENS, { method: 'GET', path: '/tokens', what: 'list tokens' });
  const printText = (): void => {
    printTable(
      call.io,
      [
        { title: 'ID', rank: 0 },
        { title: 'LAST USED (UTC)', rank: 3 },
        { title: 'EXPIRES (UTC)', rank: 2 },
        { title: 'NAME', rank: 1, isText: true },
        { title: 'ROLES', rank: 4, isText: true },
      ],
      tokens.map(({ id, name, grants, expiresAt, lastUsedAt }) =>
        [id, renderTime(lastUsedAt), renderTime(expiresAt), oneLine(name), renderGrants(grants)].map((text) =>
          cell(text),
        ),
      ),
    );
  };
  const fields = ['id', 'name', 'grants', 'expiresAt', 'lastUsedAt'];
  printListing(call, { document: { tokens }, fields, rows: tokens, printText });
  return 0;
}

async function removeToken(call: CommandCall): Promise<number> {
  const id = positional(call, 0, 'ID');
  const path = `/tokens/${pathSegment(id)}`;
  await callFleet(call, REMOVED, { method: 'DELETE', path, what: `revoke token '${id}'` });
  return printRemoved(call, id);
}
