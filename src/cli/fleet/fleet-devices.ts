/** `gwe fleet status`, `device`, `group`: what is known of gateways. */
import { GweError } from '../../base/errors.ts';
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
import { type Cell, cell } from '../shell/screen.ts';
import { callFleet, queryOf } from './fleet-client.ts';
import { DEVICE, DEVICES, type DeviceReply, GROUP, GROUPS, STATUS } from './fleet-replies.ts';

export const CHOICE_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'filter',
    value: 'FILTER',
    help: "which gateways: 'tag.site=berlin and app.hello<2.1 and seen>1d'",
  },
  { name: 'group', value: 'NAME', help: 'those of a saved group' },
];

export const deviceCommands: readonly CommandSpec[] = [
  {
    path: ['fleet', 'status'],
    positionals: ['PRODUCT'],
    summary: 'Which version runs where, what fails, who is silent',
    options: CLIENT_OPTIONS,
    run: printStatus,
  },
  {
    path: ['fleet', 'device', 'list'],
    positionals: ['PRODUCT'],
    summary: 'List gateways, all or those that a filter chooses',
    options: [...CHOICE_OPTIONS, ...CLIENT_LIST_OPTIONS],
    run: listDevices,
  },
  {
    path: ['fleet', 'device', 'show'],
    positionals: ['PRODUCT', 'SERIAL'],
    summary: 'Show all that is known of a gateway',
    options: CLIENT_OPTIONS,
    run: showDevice,
  },
  {
    path: ['fleet', 'device', 'tag'],
    positionals: ['PRODUCT', 'SERIAL', 'KEY=VALUE...'],
    summary: 'Set tags of a gateway; KEY= removes one',
    options: CLIENT_OPTIONS,
    run: tagDevice,
  },
  {
    path: ['fleet', 'group', 'create'],
    positionals: ['PRODUCT', 'NAME', 'FILTER'],
    summary: 'Save a group by its filter',
    options: CLIENT_OPTIONS,
    run: createGroup,
  },
  {
    path: ['fleet', 'group', 'list'],
    positionals: ['PRODUCT'],
    summary: 'List the saved groups',
    options: CLIENT_LIST_OPTIONS,
    run: listGroups,
  },
];

export function productPath(call: CommandCall, rest: string): string {
  return `/products/${pathSegment(positional(call, 0, 'PRODUCT'))}${rest}`;
}

async function printStatus(call: CommandCall): Promise<number> {
  const what = 'read the status of the fleet';
  const status = await callFleet(call, STATUS, { method: 'GET', path: productPath(call, '/status'), what });
  if (call.options.has('json')) {
    printJson(call, status);
    return 0;
  }
  const { gateways, silent, neverSeen, shared, failing } = status;
  const noun = gateways === 1 ? 'gateway' : 'gateways';
  const counts = `${gateways} ${noun}, ${silent} silent, ${neverSeen} never seen, ${failing} with a failing app`;
  call.io.stdout(`${counts}${shared === 0 ? '' : `, ${shared} that share a key with another`}\n`);
  for (const [app, versions] of Object.entries(status.apps)) {
    const found = Object.entries(versions).sort(([, one], [, other]) => other - one);
    const shown = found.map(([version, count]) => `${version} on ${count}`).join(', ');
    call.io.stdout(`${oneLine(app)}: ${oneLine(shown)}\n`);
  }
  for (const { id, name, state, reason } of status.rollouts)
    call.io.stdout(`rollout ${id} (${oneLine(name)}) is ${state}: ${oneLine(reason)}\n`);
  for (const { serial, problems } of status.problems)
    call.io.stdout(`${oneLine(serial)}: ${oneLine(problems.join('; '))}\n`);
  return 0;
}

async function listDevices(call: CommandCall): Promise<number> {
  const devices = await readDevices(call);
  printListing(call, {
    document: { devices },
    fields: ['serial', 'state', 'lastSeenAt', 'isSilent', 'isShared', 'gweVersion', 'target', 'tags', 'apps'],
    rows: devices,
    printText: () => printTable(call.io, DEVICE_COLUMNS, devices.map(renderDevice)),
  });
  return 0;
}

const DEVICE_COLUMNS = [
  { title: 'SERIAL', rank: 0 },
  { title: 'STATE', rank: 1 },
  { title: 'LAST SEEN (UTC)', rank: 3 },
  { title: 'APPS', rank: 2, isText: true },
];

async function readDevices(call: CommandCall): Promise<DeviceReply[]> {
  const devices: DeviceReply[] = [];
  const [filter, group] = [call.options.text('filter'), call.options.text('group')];
  for (let after: string | undefined; ; ) {
    const path = productPath(call, `/devices${queryOf({ filter, group, after, limit: '1000' })}`);
    const page = await callFleet(call, DEVICES, { method: 'GET', path, what: 'list gateways' });
    devices.push(...page.devices);
    if (page.next === null) return devices;
    after = page.next;
  }
}

function renderDevice({ serial, state, lastSeenAt, isSilent, apps }: DeviceReply): Cell[] {
  const shown = Object.entries(apps).map(([app, { version, status }]) =>
    status === 'RUNNING' || status === 'EXITED' ? `${app} ${version}` : `${app} ${version} ${status}`,
  );
  const words = isSilent ? 'silent' : state;
  return [oneLine(serial), words, renderTime(lastSeenAt), oneLine(shown.join(', '))].map((text) =>
    cell(text),
  );
}

async function showDevice(call: CommandCall): Promise<number> {
  const serial = positional(call, 1, 'SERIAL');
  const path = productPath(call, `/devices/${pathSegment(serial)}`);
  const device = await callFleet(call, DEVICE, { method: 'GET', path, what: `show '${serial}'` });
  if (call.options.has('json')) {
    printJson(call, device);
    return 0;
  }
  const { state, lastSeenAt, gweVersion = '', target = '', isShared, tags, apps } = device;
  call.io.stdout(`${oneLine(serial)}: ${state}, last seen ${renderTime(lastSeenAt)}\n`);
  if (gweVersion !== '') call.io.stdout(`gwe ${gweVersion} ${target}\n`);
  if (device.isSilent) call.io.stdout('silent: not heard of when expected\n');
  if (isShared) call.io.stdout('two gateways use its key: copy no card or disk with a key on it\n');
  for (const [key, value] of Object.entries(tags)) call.io.stdout(`tag ${key}=${oneLine(value)}\n`);
  for (const [app, { version, status, previous }] of Object.entries(apps)) {
    const before = previous === undefined ? '' : `, before ${previous}`;
    call.io.stdout(`app ${app} ${version} ${oneLine(status)}${before}\n`);
  }
  return 0;
}

async function tagDevice(call: CommandCall): Promise<number> {
  const serial = positional(call, 1, 'SERIAL');
  const words = call.positionals.slice(2);
  if (words.length === 0) throw new GweError('USAGE_MISSING', 'argument KEY=VALUE is missing');
  const tags = Object.fromEntries(words.map(parseTag));
  const path = productPath(call, `/devices/${pathSegment(serial)}/tags`);
  const device = await callFleet(call, DEVICE, {
    method: 'PATCH',
    path,
    body: tags,
    what: `tag '${serial}'`,
  });
  if (call.options.has('json')) printJson(call, { serial, tags: device.tags });
  else {
    const shown = Object.entries(device.tags).map(([key, value]) => `${key}=${value}`);
    call.io.stdout(`${oneLine(serial)}: ${oneLine(shown.join(' '))}\n`);
  }
  return 0;
}

function parseTag(word: string): [string, string | null] {
  const at = word.indexOf('=');
  if (at < 1) throw new GweError('USAGE_BAD_VALUE', `cannot use tag '${word}': expected KEY=VALUE`);
  const value = word.slice(at + 1);
  return [word.slice(0, at), value === '' ? null : value];
}

async function createGroup(call: CommandCall): Promise<number> {
  const name = positional(call, 1, 'NAME');
  const filter = positional(call, 2, 'FILTER');
  const path = productPath(call, `/groups/${pathSegment(name)}`);
  const group = await callFleet(call, GROUP, {
    method: 'PUT',
    path,
    body: { filter },
    what: `save group '${name}'`,
  });
  if (call.options.has('json')) printJson(call, group);
  else call.io.stdout(`${name}: ${filter}\n`);
  return 0;
}

async function listGroups(call: CommandCall): Promise<number> {
  const path = productPath(call, '/groups');
  const { groups } = await callFleet(call, GROUPS, { method: 'GET', path, what: 'list groups' });
  const printText = (): void =>
    printTable(
      call.io,
      [
        { title: 'GROUP', rank: 0 },
        { title: 'FILTER', rank: 1, isText: true },
      ],
      groups.map(({ name, filter }) => [cell(oneLine(name)), cell(oneLine(filter))]),
    );
  printListing(call, { document: { groups }, fields: ['name', 'filter'], rows: groups, printText });
  return 0;
}
