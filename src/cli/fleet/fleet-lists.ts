/**
 * `gwe fleet device import|export|hold|remove`, `gwe fleet target`: lists in and out, and who receives which notices.
 */
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';
import { NOTICE_KINDS } from '../../fleet-api/notices/notice.ts';
import { printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import {
  CLIENT_LIST_OPTIONS,
  CLIENT_OPTIONS,
  oneLine,
  openClient,
  pathSegment,
  positional,
  printJson,
  readRequired,
  refused,
} from '../platform/platform-options.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { CONFIRM_OPTIONS, confirm } from '../shell/confirm.ts';
import { cell } from '../shell/screen.ts';
import { callFleet, queryOf } from './fleet-client.ts';
import { CHOICE_OPTIONS, productPath } from './fleet-devices.ts';

const IMPORTED = v.object({
  rows: v.number(),
  added: v.number(),
  tagged: v.number(),
  enabled: v.number(),
  ignored: v.optional(v.array(v.string()), []),
});
const HELD = v.object({ serial: v.string(), hold: v.nullable(v.string()) });
const REMOVED = v.looseObject({ removed: v.boolean() });
const TARGET = v.looseObject({
  id: v.string(),
  product: v.string(),
  url: v.string(),
  kinds: v.array(v.string()),
  secret: v.optional(v.string()),
});
const TARGETS = v.object({
  targets: v.array(
    v.intersect([
      TARGET,
      v.looseObject({ sent: v.number(), waiting: v.number(), givenUp: v.number(), lastError: v.string() }),
    ]),
  ),
});

export const listCommands: readonly CommandSpec[] = [
  {
    path: ['fleet', 'device', 'import'],
    positionals: ['PRODUCT', 'FILE'],
    summary: 'Add serial numbers and set tags by a CSV file: serial,tag.NAME,...',
    options: [
      { name: 'create', help: 'for a product that does not exist yet' },
      { name: 'enable', help: 'let those activate that have no key yet' },
      ...CLIENT_OPTIONS,
    ],
    run: importDevices,
  },
  {
    path: ['fleet', 'device', 'export'],
    positionals: ['PRODUCT'],
    summary: 'Print gateways as CSV, all or those that a filter chooses',
    options: [...CHOICE_OPTIONS, ...CLIENT_OPTIONS],
    run: exportDevices,
  },
  {
    path: ['fleet', 'device', 'hold'],
    positionals: ['PRODUCT', 'SERIAL', 'REASON'],
    summary: "Keep rollouts off a gateway; '' as the reason lets it go",
    options: CLIENT_OPTIONS,
    run: holdDevice,
  },
  {
    path: ['fleet', 'device', 'remove'],
    positionals: ['PRODUCT', 'SERIAL'],
    summary: 'Remove a gateway with all that is known of it',
    options: [...CONFIRM_OPTIONS, ...CLIENT_OPTIONS],
    run: removeDevice,
  },
  {
    path: ['fleet', 'target', 'add'],
    positionals: ['URL'],
    summary: 'Tell a webhook (https://...) or an address (mailto:...) of what needs somebody',
    options: [
      { name: 'on', value: 'KIND[,KIND...]', help: `of ${NOTICE_KINDS.join(', ')}`, default: 'all' },
      { name: 'product', value: 'PRODUCT', help: 'what happens in this one alone', default: 'all' },
      { name: 'silent-after', value: 'HOURS', help: 'for silent: not heard of for so long', default: '24' },
      ...CLIENT_OPTIONS,
    ],
    run: addTarget,
  },
  {
    path: ['fleet', 'target', 'list'],
    positionals: [],
    summary: 'List who is told of what, and what could not be sent',
    options: CLIENT_LIST_OPTIONS,
    run: listTargets,
  },
  {
    path: ['fleet', 'target', 'remove'],
    positionals: ['ID'],
    summary: 'Tell it no more',
    options: CLIENT_OPTIONS,
    run: removeTarget,
  },
  {
    path: ['fleet', 'target', 'test'],
    positionals: ['ID'],
    summary: 'Send it a notice, to see that it arrives',
    options: CLIENT_OPTIONS,
    run: testTarget,
  },
];

async function importDevices(call: CommandCall): Promise<number> {
  const file = positional(call, 1, 'FILE');
  if (call.options.has('create')) await makeProduct(call);
  const path = `/gwe/v2${productPath(call, `/devices/import${call.options.has('enable') ? '?enable=true' : ''}`)}`;
  const reply = await openClient(call).call('POST', path, readRequired(file, 'table'));
  if (reply.status >= 400) {
    const hint = reply.status === 404 && !call.options.has('create') ? '; --create makes it' : '';
    throw refused(`import '${file}'`, { ...reply, text: `${detailOf(reply.text)}${hint}` });
  }
  const imported = v.parse(IMPORTED, JSON.parse(reply.text));
  const { rows, added, tagged, enabled, ignored } = imported;
  if (call.options.has('json')) {
    printJson(call, imported);
    return 0;
  }
  call.io.stdout(`${rows} rows: ${added} added, ${tagged} tagged, ${enabled} enabled\n`);
  if (ignored.length > 0)
    call.io.stdout(
      `ignored columns: ${oneLine(ignored.join(', '))} (expected serial, and tag.NAME for tags)\n`,
    );
  return 0;
}

function makeProduct(call: CommandCall): Promise<unknown> {
  return callFleet(call, v.looseObject({}), {
    method: 'PUT',
    path: productPath(call, ''),
    what: 'make the product',
  });
}

function detailOf(text: string): string {
  try {
    return v.parse(v.looseObject({ detail: v.string() }), JSON.parse(text)).detail;
  } catch {
    return text;
  }
}

async function exportDevices(call: CommandCall): Promise<number> {
  const [filter, group] = [call.options.text('filter'), call.options.text('group')];
  const path = `/gwe/v2${productPath(call, `/devices.csv${queryOf({ filter, group })}`)}`;
  const reply = await openClient(call).call('GET', path);
  if (reply.status >= 400) throw refused('export gateways', { ...reply, text: detailOf(reply.text) });
  if (call.options.has('json')) printJson(call, { csv: reply.text });
  else call.io.stdout(reply.text);
  return 0;
}

async function holdDevice(call: CommandCall): Promise<number> {
  const serial = positional(call, 1, 'SERIAL');
  const reason = call.positionals[2];
  if (reason === undefined) throw new GweError('USAGE_MISSING', 'argument REASON is missing');
  const path = productPath(call, `/devices/${pathSegment(serial)}/hold`);
  const body = { reason: reason === '' ? null : reason };
  const held = await callFleet(call, HELD, { method: 'PUT', path, body, what: `hold '${serial}'` });
  if (call.options.has('json')) printJson(call, held);
  else
    call.io.stdout(`${oneLine(serial)}: ${held.hold === null ? 'let go' : `held: ${oneLine(held.hold)}`}\n`);
  return 0;
}

async function removeDevice(call: CommandCall): Promise<number> {
  const serial = positional(call, 1, 'SERIAL');
  if (!(await confirm(call, `remove gateway '${serial}' with all that is known of it`))) return 0;
  const path = productPath(call, `/devices/${pathSegment(serial)}`);
  await callFleet(call, REMOVED, { method: 'DELETE', path, what: `remove '${serial}'` });
  return printDone(call, serial, 'is removed');
}

function printDone(call: CommandCall, name: string, done: string): number {
  if (call.options.has('json')) printJson(call, { name, done: true });
  else call.io.stdout(`${oneLine(name)} ${done}\n`);
  return 0;
}

async function addTarget(call: CommandCall): Promise<number> {
  const url = positional(call, 0, 'URL');
  const on = call.options.text('on') ?? 'all';
  const hours = call.options.text('silent-after') ?? '24';
  if (!/^\d{1,4}$/.test(hours) || Number(hours) === 0)
    throw new GweError('USAGE_BAD_VALUE', `cannot use --silent-after '${hours}': expected a number of hours`);
  const product = call.options.text('product') ?? 'all';
  const body = {
    url,
    product: product === 'all' ? '*' : product,
    kinds: on === 'all' ? NOTICE_KINDS : on.split(','),
    silentAfterS: Number(hours) * 3600,
  };
  const target = await callFleet(call, TARGET, {
    method: 'POST',
    path: '/targets',
    body,
    what: `tell '${url}'`,
  });
  if (call.options.has('json')) {
    printJson(call, target);
    return 0;
  }
  call.io.stdout(`${target.id}: ${oneLine(url)} is told of ${target.kinds.join(', ')}\n`);
  if (target.secret !== undefined) call.io.stdout(`secret of X-Gwe-Signature: ${target.secret}\n`);
  return 0;
}

const TARGET_COLUMNS = [
  { title: 'TARGET', rank: 0 },
  { title: 'URL', rank: 1, isText: true },
  { title: 'PRODUCT', rank: 3 },
  { title: 'OF', rank: 6, isText: true },
  { title: 'SENT', rank: 5 },
  { title: 'WAITING', rank: 4 },
  { title: 'GIVEN UP', rank: 2 },
  { title: 'LAST ERROR', rank: 7, isText: true },
];

async function listTargets(call: CommandCall): Promise<number> {
  const { targets } = await callFleet(call, TARGETS, {
    method: 'GET',
    path: '/targets',
    what: 'list targets',
  });
  const printText = (): void => {
    const rows = targets.map(({ id, url, product, kinds, sent, waiting, givenUp, lastError }) => {
      const where = product === '*' ? 'all' : oneLine(product);
      const counts = [sent, waiting, givenUp].map(String);
      return [id, oneLine(url), where, kinds.join(','), ...counts, oneLine(lastError)].map((text) =>
        cell(text),
      );
    });
    printTable(call.io, TARGET_COLUMNS, rows);
  };
  const fields = ['id', 'url', 'product', 'kinds', 'sent', 'waiting', 'givenUp', 'lastError'];
  printListing(call, { document: { targets }, fields, rows: targets, printText });
  return 0;
}

async function removeTarget(call: CommandCall): Promise<number> {
  const id = positional(call, 0, 'ID');
  const path = `/targets/${pathSegment(id)}`;
  await callFleet(call, REMOVED, { method: 'DELETE', path, what: `remove '${id}'` });
  return printDone(call, id, 'is removed');
}

async function testTarget(call: CommandCall): Promise<number> {
  const id = positional(call, 0, 'ID');
  const path = `/targets/${pathSegment(id)}/test`;
  await callFleet(call, v.looseObject({ id: v.string() }), { method: 'POST', path, what: `test '${id}'` });
  return printDone(call, id, 'is sent a notice; gwe fleet target list says whether it arrived');
}
