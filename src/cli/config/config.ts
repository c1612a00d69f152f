/**
 * `gwe config get|set|unset|list`: Gateway.cfg and Engine.config by the names of their keys; the options of the
 * original (`-P`, `-t`, `--set`) do the same by the same code.
 *
 * `--json` of list: {version, settings: [{key, value, isDefault}]}; of get: {version, key, value, isDefault}.
 */
import { GweError } from '../../base/errors.ts';
import { loadEngineConfig, loadGatewayConfig } from '../../config/config-files.ts';
import { ENGINE_SETTINGS } from '../../config/schema.ts';
import type { SettingSpec, SettingValue } from '../../config/setting.ts';
import type { Layout } from '../../store/layout.ts';
import { LIST_OPTIONS, printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import type { CommandCall, CommandSpec, OptionSpec, ParsedOptions } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { nearestWord } from '../shell/parse.ts';
import { layoutOf } from '../shell/root.ts';
import { cell, printDocument } from '../shell/screen.ts';
import { configure } from './configure.ts';

const KEEP_KEY: OptionSpec = {
  name: 'keep-key',
  help: 'with platform_url: it is another address of the same platform, where the device key is valid too',
};

export const configCommands: readonly CommandSpec[] = [
  {
    path: ['config', 'list'],
    positionals: [],
    summary: 'List every setting and its value',
    options: LIST_OPTIONS,
    run: runList,
  },
  {
    path: ['config', 'get'],
    positionals: ['KEY'],
    summary: 'Print the value of a setting',
    options: [JSON_OPTION],
    run: runGet,
  },
  {
    path: ['config', 'set'],
    positionals: ['KEY=VALUE...'],
    summary:
      "Set settings, all or none; their names are in 'gwe help settings', besides vendor, model, product, uuid and iface",
    options: [KEEP_KEY, JSON_OPTION],
    run: runSet,
  },
  {
    path: ['config', 'unset'],
    positionals: ['KEY...'],
    summary: 'Reset settings to their defaults',
    options: [JSON_OPTION],
    run: runUnset,
  },
];

/** Keys of Gateway.cfg that are no secret, and the options that set them. */
const DEVICE_OPTIONS = {
  vendor: 'set-vendor',
  model: 'set-model',
  uuid: 'set-uuid',
  iface: 'set-iface',
} as const;
/** Vendor and model at once. */
const PRODUCT = 'product';

interface Setting {
  key: string;
  value: SettingValue;
  isDefault: boolean;
}

function readSettings(layout: Layout): Setting[] {
  const device = loadGatewayConfig(layout.gatewayConfig).values;
  const values: Readonly<Record<string, unknown>> = loadEngineConfig(layout.engineConfig).values;
  const keys = Object.keys(DEVICE_OPTIONS) as (keyof typeof DEVICE_OPTIONS)[];
  return [
    ...keys.map((key) => ({ key, value: device[key], isDefault: device[key] === '' })),
    ...Object.entries<SettingSpec>(ENGINE_SETTINGS).map(([name, spec]) => {
      const found = values[name];
      const value = isValue(found) ? found : spec.default;
      const isDefault = value === spec.default;
      return { key: spec.key, value: spec.secret === true && !isDefault ? '(left out)' : value, isDefault };
    }),
  ];
}

function isValue(found: unknown): found is SettingValue {
  return ['string', 'number', 'boolean'].includes(typeof found);
}

async function runList(call: CommandCall): Promise<number> {
  const settings = readSettings(layoutOf(call.io, call.options));
  const rows = settings.map((setting) => ({ ...setting }));
  printListing(call, {
    document: { settings },
    fields: FIELDS,
    rows,
    printText: () => printSettings(call, settings),
  });
  return EXIT.ok;
}

const FIELDS = ['key', 'value', 'isDefault'];
const COLUMNS = [
  { title: 'SETTING', rank: 0 },
  { title: 'IS', rank: 2 },
  { title: 'VALUE', rank: 1, isText: true },
];

function printSettings({ io }: CommandCall, settings: readonly Setting[]): void {
  const rows = settings.map(({ key, value, isDefault }) => [
    cell(key),
    cell(isDefault ? 'default' : 'set', isDefault ? 'dim' : 'plain'),
    cell(String(value)),
  ]);
  printTable(io, COLUMNS, rows);
}

async function runGet(call: CommandCall): Promise<number> {
  const setting = findSetting(layoutOf(call.io, call.options), call.positionals[0] ?? '');
  if (call.options.has('json')) printDocument(call.io, { ...setting });
  else call.io.stdout(`${setting.value}\n`);
  return EXIT.ok;
}

function findSetting(layout: Layout, key: string): Setting {
  const settings = readSettings(layout);
  const found = settings.find((each) => each.key === key);
  if (found !== undefined) return found;
  throw unknownKey(
    key,
    settings.map((each) => each.key),
  );
}

function unknownKey(key: string, keys: readonly string[]): GweError {
  const nearest = nearestWord(key, keys);
  const hint =
    key === 'cik'
      ? "the device key is shown by 'gwe --gateway-cik' and set by 'gwe --set-cik'"
      : nearest === undefined
        ? "see 'gwe help settings'"
        : `did you mean '${nearest}'?`;
  return new GweError('USAGE_BAD_VALUE', `no setting '${key.slice(0, 60)}': ${hint}; nothing was changed`);
}

/** `KEY VALUE` for one is as good as `KEY=VALUE`. */
async function runSet(call: CommandCall): Promise<number> {
  const [first = '', second] = call.positionals;
  const isPair = call.positionals.length === 2 && !first.includes('=') && second !== undefined;
  return change(call, isPair ? [`${first}=${second}`] : call.positionals);
}

async function runUnset(call: CommandCall): Promise<number> {
  return change(
    call,
    call.positionals.map((key) => `${key}=`),
  );
}

function change(call: CommandCall, assignments: readonly string[]): number {
  const layout = layoutOf(call.io, call.options);
  const keys = assignments.map((text) => text.slice(0, Math.max(0, text.indexOf('='))) || text);
  for (const [index, key] of keys.entries()) {
    if (key !== PRODUCT) findSetting(layout, key);
    if (assignments[index]?.includes('=') !== true)
      throw new GweError(
        'USAGE_MISSING',
        `no value for '${key}': expected ${key}=VALUE; nothing was changed`,
      );
  }
  configure({ ...call.io, stdout: () => undefined }, asOptions(call, assignments), layout);
  const shown = keys.flatMap((key) => (key === PRODUCT ? ['vendor', 'model'] : [key]));
  const settings = shown.map((key) => findSetting(layout, key));
  if (call.options.has('json')) printDocument(call.io, { settings });
  else for (const { key, value } of settings) call.io.stdout(`${key} = ${value}\n`);
  return EXIT.ok;
}

/** The same in the options of the original: one place decides what may be set. */
function asOptions(call: CommandCall, assignments: readonly string[]): ParsedOptions {
  const texts = new Map<string, string[]>();
  for (const assignment of assignments) {
    const [option, value] = asOption(assignment);
    texts.set(option, [...(texts.get(option) ?? []), value]);
  }
  return {
    has: (name) => texts.has(name) || call.options.has(name),
    text: (name) => texts.get(name)?.at(-1),
    list: (name) => texts.get(name) ?? [],
  };
}

function asOption(assignment: string): [option: string, value: string] {
  const equals = assignment.indexOf('=');
  const [key, value] = [assignment.slice(0, equals), assignment.slice(equals + 1)];
  if (key === PRODUCT) return ['set-product-id', value];
  const device = Object.entries(DEVICE_OPTIONS).find(([name]) => name === key);
  if (device !== undefined) return [device[1], value];
  // These are looked at more closely by their own options.
  if (key === 'platform_url') return ['set-platform-url', value];
  return ['set', assignment];
}
