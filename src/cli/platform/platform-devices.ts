/** `gwe platform device ...`, `write`, `read`, `history`: serial numbers and their values. */
import { GweError } from '../../base/errors.ts';
import { decodeForm, encodeForm, encodeNames } from '../../protocol/codec.ts';
import { COMMAND_SIGN_OPTIONS, signText } from '../developer/sign-command.ts';
import { printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { CONFIRM_OPTIONS, confirm } from '../shell/confirm.ts';
import { EXIT } from '../shell/exit.ts';
import { cell } from '../shell/screen.ts';
import { readTimeout, TIMEOUT_OPTION } from '../shell/wait.ts';
import {
  CLIENT_LIST_OPTIONS,
  CLIENT_OPTIONS,
  oneLine,
  openClient,
  pathSegment,
  positional,
  printJson,
  refused,
  renderTime,
} from './platform-options.ts';
import { decodeDevices, decodeHistory } from './platform-replies.ts';
import { countReports, readReports, waitForReports } from './platform-wait.ts';
import { requireSensibleValue } from './put-checks.ts';
import { printReport } from './tidy-value.ts';

const USUAL_WAIT_S = 3600;

export const deviceCommands: readonly CommandSpec[] = [
  {
    path: ['platform', 'device', 'add'],
    positionals: ['PRODUCT', 'SERIAL'],
    summary: 'Let a serial number activate within the next 24 hours',
    options: CLIENT_OPTIONS,
    run: (call) => changeDevice(call, 'enable=true&owner=operator', 'notactivated'),
  },
  {
    path: ['platform', 'device', 'list'],
    positionals: ['PRODUCT'],
    summary: 'List the serial numbers of a product',
    options: CLIENT_LIST_OPTIONS,
    run: listDevices,
  },
  {
    path: ['platform', 'device', 'disable'],
    positionals: ['PRODUCT', 'SERIAL'],
    summary: "Revoke a device's key and let it activate no more",
    options: [...CONFIRM_OPTIONS, ...CLIENT_OPTIONS],
    run: disableDevice,
  },
  {
    path: ['platform', 'device', 'regenerate'],
    positionals: ['PRODUCT', 'SERIAL'],
    summary: "Revoke a device's key and let it activate for a new one",
    options: CLIENT_OPTIONS,
    run: regenerateDevice,
  },
  {
    path: ['platform', 'write'],
    positionals: ['PRODUCT', 'SERIAL', 'ALIAS', 'VALUE'],
    summary: 'Write a value to an alias of a device',
    options: [
      {
        name: 'wait',
        help: 'wait until the gateway has reported what it made of the command, and tell; 1 if an update failed',
      },
      { ...TIMEOUT_OPTION, default: String(USUAL_WAIT_S) },
      { name: 'raw', help: 'write it as it is, though no gateway could make sense of it' },
      ...COMMAND_SIGN_OPTIONS,
      ...CLIENT_OPTIONS,
    ],
    run: writeValue,
  },
  {
    path: ['platform', 'read'],
    positionals: ['PRODUCT', 'SERIAL', 'ALIAS'],
    summary:
      "Print the value of an alias of a device; gwe's own reports by their fields on a terminal, else as they are",
    options: [
      { name: 'pretty', help: 'by its fields, also where it is no terminal' },
      { name: 'raw', help: 'as it is, also on a terminal' },
      ...CLIENT_OPTIONS,
    ],
    run: readValue,
  },
  {
    path: ['platform', 'history'],
    positionals: ['PRODUCT', 'SERIAL', 'ALIAS'],
    summary: 'Print what was written to an alias, oldest first',
    options: [
      { name: 'limit', value: 'COUNT', help: 'the newest so many', default: '20' },
      ...CLIENT_LIST_OPTIONS,
    ],
    run: printHistory,
  },
];

function deviceOf(call: CommandCall): { product: string; serial: string } {
  return { product: positional(call, 0, 'PRODUCT'), serial: positional(call, 1, 'SERIAL') };
}

async function changeDevice(call: CommandCall, form: string, state: string): Promise<number> {
  const { product, serial } = deviceOf(call);
  const reply = await openClient(call).call(
    'POST',
    `/provision/manage/model/${pathSegment(product)}/${pathSegment(serial)}`,
    form,
  );
  if (reply.status !== 200 && reply.status !== 205) throw refused(`change device '${serial}'`, reply);
  if (call.options.has('json')) printJson(call, { product, serial, state });
  else call.io.stdout(`${serial} of ${product}: ${state}\n`);
  return 0;
}

async function disableDevice(call: CommandCall): Promise<number> {
  const { product, serial } = deviceOf(call);
  const goesOn = await confirm(
    call,
    `revoke the key of device '${serial}' of product '${product}': the gateway can neither report nor be updated any more`,
  );
  return goesOn ? changeDevice(call, 'disable=true', 'expired') : EXIT.ok;
}

async function regenerateDevice(call: CommandCall): Promise<number> {
  const { product, serial } = deviceOf(call);
  const reply = await openClient(call).call(
    'GET',
    `/provision/manage/model/${pathSegment(product)}/${pathSegment(serial)}`,
  );
  if (reply.status === 200) return changeDevice(call, 'enable=true', 'notactivated');
  if (reply.status !== 204) throw refused(`regenerate device '${serial}'`, reply);
  throw new GweError(
    'PROTOCOL_REFUSED',
    `cannot regenerate device '${serial}': product '${product}' has none of this serial`,
  );
}

async function listDevices(call: CommandCall): Promise<number> {
  const product = positional(call, 0, 'PRODUCT');
  const reply = await openClient(call).call('GET', `/gwe/v1/products/${pathSegment(product)}/devices`);
  if (reply.status !== 200) throw refused(`list the devices of '${product}'`, reply);
  const devices = decodeDevices(reply.text);
  printListing(call, {
    document: { product, devices },
    fields: ['serial', 'state', 'rid', 'enabledAt', 'lastWriteAt', 'lastSeenAt'],
    rows: devices,
    printText() {
      const rows = devices.map(({ serial, state, lastSeenAt }) => [
        cell(oneLine(serial)),
        cell(state),
        cell(renderTime(lastSeenAt)),
      ]);
      printTable(call.io, DEVICE_COLUMNS, rows);
    },
  });
  return EXIT.ok;
}

const DEVICE_COLUMNS = [
  { title: 'SERIAL', rank: 0 },
  { title: 'STATE', rank: 1 },
  { title: 'LAST SEEN (UTC)', rank: 2 },
];
const HISTORY_COLUMNS = [
  { title: 'WRITTEN (UTC)', rank: 0 },
  { title: 'BY', rank: 2 },
  { title: 'VALUE', rank: 1, isText: true },
];

async function writeValue(call: CommandCall): Promise<number> {
  const { product, serial } = deviceOf(call);
  const alias = positional(call, 2, 'ALIAS');
  const given = call.positionals[3];
  if (given === undefined)
    throw new GweError('USAGE_MISSING', "argument VALUE is missing; '' writes an empty one");
  if (!call.options.has('raw')) requireSensibleValue(alias, given);
  const value = (await signValue(call, alias, given)) ?? given;
  const timeoutMs = readTimeout(call.options, USUAL_WAIT_S);
  const isWaiting = call.options.has('wait');
  if (isWaiting && alias !== 'engine_fetch')
    throw new GweError(
      'USAGE_BAD_OPTION',
      `--wait goes only with engine_fetch, which is answered by a report; found '${alias}'`,
    );
  const client = openClient(call);
  const place = { client, product, serial };
  const before = isWaiting ? await readReports(place) : [];
  const reply = await client.call('POST', valuesPath(product, serial), encodeForm([[alias, value]]));
  if (reply.status !== 204) throw refused(`write alias '${alias}' of device '${serial}'`, reply);
  const waited = isWaiting
    ? await waitForReports(call, place, { before, count: countReports(value), timeoutMs })
    : undefined;
  if (call.options.has('json')) printJson(call, { product, serial, alias, value, reports: waited?.reports });
  return waited?.isGood === false ? 1 : 0;
}

/** Only commands are signed. */
async function signValue(call: CommandCall, alias: string, value: string): Promise<string | undefined> {
  const isSigned = ['sign-key', 'sign-cmd'].some((name) => call.options.text(name) !== undefined);
  if (!isSigned) return undefined;
  if (alias !== 'engine_fetch')
    throw new GweError('USAGE_BAD_OPTION', `--sign-key goes only with engine_fetch; found '${alias}'`);
  return signText(call, 'sign-key', deviceOf(call), { text: value });
}

function valuesPath(product: string, serial: string): string {
  return `/gwe/v1/products/${pathSegment(product)}/devices/${pathSegment(serial)}/values`;
}

/** If there is no value: status 1, or `null` in JSON. */
async function readValue(call: CommandCall): Promise<number> {
  const { product, serial } = deviceOf(call);
  const alias = positional(call, 2, 'ALIAS');
  const reply = await openClient(call).call('GET', `${valuesPath(product, serial)}?${encodeNames([alias])}`);
  if (reply.status !== 200 && reply.status !== 204)
    throw refused(`read alias '${alias}' of device '${serial}'`, reply);
  const value = reply.status === 204 ? undefined : decodeForm(reply.text)[0]?.[1];
  if (call.options.has('json')) {
    printJson(call, { product, serial, alias, value: value ?? null });
    return 0;
  }
  if (value === undefined) {
    throw new GweError(
      'PROTOCOL_REFUSED',
      `cannot read alias '${alias}' of device '${serial}': nothing was ever written to it`,
    );
  }
  const isPretty = call.options.has('pretty') || (call.io.isTerminal && !call.options.has('raw'));
  if (isPretty && printReport(call.io, alias, value)) return EXIT.ok;
  call.io.stdout(`${call.io.isTerminal ? value.replace(/[^\P{Cc}\n\t]/gu, '\ufffd') : value}\n`);
  return 0;
}

async function printHistory(call: CommandCall): Promise<number> {
  const { product, serial } = deviceOf(call);
  const alias = positional(call, 2, 'ALIAS');
  const limit = call.options.text('limit') ?? '20';
  if (!/^[1-9]\d{0,5}$/.test(limit)) {
    throw new GweError('USAGE_BAD_VALUE', `cannot use --limit '${limit}': expected a number above 0`);
  }
  const query = encodeForm([
    ['alias', alias],
    ['limit', limit],
  ]);
  const path = `/gwe/v1/products/${pathSegment(product)}/devices/${pathSegment(serial)}/history?${query}`;
  const reply = await openClient(call).call('GET', path);
  if (reply.status !== 200)
    throw refused(`list the history of alias '${alias}' of device '${serial}'`, reply);
  const entries = decodeHistory(reply.text).reverse();
  printListing(call, {
    document: { product, serial, alias, entries },
    fields: ['timestamp', 'writer', 'value'],
    rows: entries,
    printText() {
      const rows = entries.map(({ timestamp, writer, value }) =>
        [renderTime(timestamp), writer, oneLine(value)].map((text) => cell(text)),
      );
      printTable(call.io, HISTORY_COLUMNS, rows);
    },
  });
  return EXIT.ok;
}
