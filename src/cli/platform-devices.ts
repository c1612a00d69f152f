/** `gwe platform device ...`, `write`, `read`, `history`: serial numbers and their values. */
import { GweError } from '../base/errors.ts';
import { decodeForm, encodeForm, encodeNames } from '../protocol/codec.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import {
  CLIENT_OPTIONS,
  fitLine,
  openClient,
  pathSegment,
  positional,
  printJson,
  refused,
  renderTime,
} from './platform-options.ts';
import { decodeDevices, decodeHistory } from './platform-replies.ts';

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
    options: CLIENT_OPTIONS,
    run: listDevices,
  },
  {
    path: ['platform', 'device', 'disable'],
    positionals: ['PRODUCT', 'SERIAL'],
    summary: "Revoke a device's key and let it activate no more",
    options: CLIENT_OPTIONS,
    run: (call) => changeDevice(call, 'disable=true', 'expired'),
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
    options: CLIENT_OPTIONS,
    run: writeValue,
  },
  {
    path: ['platform', 'read'],
    positionals: ['PRODUCT', 'SERIAL', 'ALIAS'],
    summary: 'Print the value of an alias of a device',
    options: CLIENT_OPTIONS,
    run: readValue,
  },
  {
    path: ['platform', 'history'],
    positionals: ['PRODUCT', 'SERIAL', 'ALIAS'],
    summary: 'Print what was written to an alias, oldest first',
    options: [
      { name: 'limit', value: 'COUNT', help: 'the newest so many', default: '20' },
      ...CLIENT_OPTIONS,
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
  if (call.options.has('json')) {
    printJson(call, { product, devices });
    return 0;
  }
  call.io.stdout('STATE         LAST SEEN (UTC)      SERIAL\n');
  for (const device of devices) {
    const time = renderTime(device.lastSeenAt).padEnd(19);
    call.io.stdout(`${device.state.padEnd(12)}  ${time}  ${fitLine(device.serial, 255)}\n`);
  }
  return 0;
}

async function writeValue(call: CommandCall): Promise<number> {
  const { product, serial } = deviceOf(call);
  const alias = positional(call, 2, 'ALIAS');
  const value = call.positionals[3];
  if (value === undefined)
    throw new GweError('USAGE_MISSING', "argument VALUE is missing; '' writes an empty one");
  const reply = await openClient(call).call(
    'POST',
    valuesPath(product, serial),
    encodeForm([[alias, value]]),
  );
  if (reply.status !== 204) throw refused(`write alias '${alias}' of device '${serial}'`, reply);
  if (call.options.has('json')) printJson(call, { product, serial, alias, value });
  return 0;
}

function valuesPath(product: string, serial: string): string {
  return `/gwe/v1/products/${pathSegment(product)}/devices/${pathSegment(serial)}/values`;
}

/** Without a value: status 1, or `null` in JSON. */
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
  if (call.options.has('json')) {
    printJson(call, { product, serial, alias, entries });
    return 0;
  }
  for (const entry of entries) {
    const line = `${renderTime(entry.timestamp)}  ${entry.writer.padEnd(8)}  ${entry.value}`;
    call.io.stdout(`${fitLine(line, call.io.columns)}\n`);
  }
  return 0;
}
