/**
 * `gwe keygen`, and `gwe keys ...`: whom this gateway trusts.
 *
 * `keys list --json` prints {version, keys: [{keyId, name, apps, products, powers}], retired: [the same], removed:
 * [{keyId, name}], problems: [text]}; `apps` is absent for a key that may vouch for all, `products` for one that may
 * command all, `removed` are those that were removed here.
 */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { keepSigners, lostWays } from '../../agent/admission/ways-back.ts';
import { withTransactionLock } from '../../agent/run/transaction-lock.ts';
import type { TrustedKey } from '../../artifact/manifest/policy.ts';
import { generateKey } from '../../artifact/manifest/signature.ts';
import { removeEdited, writeEdited } from '../../base/edited-file.ts';
import { GweError } from '../../base/errors.ts';
import { ensureDirectory, writeFileDurable } from '../../base/fs.ts';
import { loadEngineConfig } from '../../config/config-files.ts';
import {
  decideRemoved,
  decideRetired,
  decideTrusted,
  readGatewayKeys,
  readKeyDecisions,
} from '../../store/gateway-keys.ts';
import { decodeTrustedKey, keyFile, keyName, lackOfKeys } from '../../store/trust.ts';
import { PASSPHRASE_OPTION, readKeyFile, readPassphrase, SIGN_CMD_OPTION } from '../developer/signing.ts';
import { LIST_OPTIONS, printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { CONFIRM_OPTIONS, confirm } from '../shell/confirm.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf, patience } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { absolutePath } from '../shell/path.ts';
import { layoutOf } from '../shell/root.ts';
import { type Cell, cell, printDocument } from '../shell/screen.ts';
import { packKeys } from './pack-keys.ts';

const KEY_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}$/;
/** What a part of a key id must have at least to be taken for it. */
const SHORTEST_ID = 8;

export const keygenCommand: CommandSpec = {
  path: ['keygen'],
  positionals: [],
  summary: 'make a key to sign tarballs with: BASE.key, to be kept secret, and BASE.pub, for the gateways',
  options: [
    {
      name: 'out',
      value: 'BASE',
      default: 'gwe-signing',
      help: 'path of the two files without .key and .pub',
    },
    { ...PASSPHRASE_OPTION, help: 'file whose first line encrypts the private key' },
    JSON_OPTION,
  ],
  async run({ io, options }) {
    const base = absolutePath(io, options.text('out') ?? 'gwe-signing');
    const [secret, open] = [`${base}.key`, `${base}.pub`];
    for (const file of [secret, open]) {
      if (!existsSync(file)) continue;
      throw new GweError(
        'USAGE_BAD_VALUE',
        `cannot make key '${file}': it exists, expected a new name (--out)`,
      );
    }
    const pair = generateKey(readPassphrase(io, options));
    writeFileDurable(secret, pair.privateKey, 0o600);
    writeFileDurable(open, pair.publicKey, 0o644);
    if (options.has('json')) printDocument(io, { keyId: pair.keyId, privateFile: secret, publicFile: open });
    else io.stdout(`key ${pair.keyId}\nprivate: ${secret}\npublic:  ${open}\n`);
    return EXIT.ok;
  },
};

export const keysCommands: readonly CommandSpec[] = [
  {
    path: ['keys', 'list'],
    positionals: [],
    summary: 'the keys whose signatures this gateway trusts',
    options: LIST_OPTIONS,
    run: async (call) => listKeys(call),
  },
  {
    path: ['keys', 'add'],
    positionals: ['FILE'],
    summary: 'trust a public key; from the first key on, nothing unsigned is installed',
    options: [
      { name: 'name', value: 'NAME', help: 'name to store it under; by default that of the file' },
      { name: 'apps', value: 'APP,APP', help: 'the apps that it may sign, or command; by default all' },
      {
        name: 'powers',
        value: 'LIST',
        help: 'what it may do: artifacts, root, commands, releases; by default artifacts',
      },
      {
        name: 'products',
        value: 'LIST',
        help: 'the products that a key for commands or releases is for; by default all',
      },
      JSON_OPTION,
    ],
    run: async (call) => addKey(call),
  },
  {
    path: ['keys', 'remove'],
    positionals: ['ID'],
    summary: 'stop trusting a key; ID is its name, its id, or the beginning of its id',
    options: [...CONFIRM_OPTIONS, JSON_OPTION],
    run: removeKey,
  },
  {
    path: ['keys', 'retire'],
    positionals: ['ID'],
    summary:
      'trust a key only for rollbacks to versions that it signed for here; ID as for keys remove, which leaves no way back',
    options: [JSON_OPTION],
    run: (call) => retireKey(call),
  },
  {
    path: ['keys', 'pack'],
    positionals: ['VERSION', 'FILE...'],
    summary:
      'make gwe-keys.vVERSION.tar.gz: installed like an app, it has gateways trust these keys and no others; enough of ' +
      'the old keys and enough of the new ones must sign it (gwe sign adds signatures)',
    options: [
      { name: 'release', value: 'N', help: 'higher than that of every earlier set' },
      { name: 'sign-key', value: 'FILE', help: 'private key to sign with; the public one with --sign-cmd' },
      {
        name: 'retire',
        value: 'FILE',
        many: true,
        help: 'keys trusted from then on only for rollbacks to what they signed before (NAME.retired in the set)',
      },
      PASSPHRASE_OPTION,
      SIGN_CMD_OPTION,
      JSON_OPTION,
    ],
    run: (call) => packKeys(call),
  },
];

function ringOf(call: CommandCall) {
  const layout = layoutOf(call.io, call.options);
  return { layout, directory: layout.keysDirectory, ...readGatewayKeys(layout) };
}

function listKeys(call: CommandCall): number {
  const { io } = call;
  const ring = ringOf(call);
  const { keys, files, retired } = ring;
  const problems = [...ring.problems, ...lacks(call)];
  const removed = readKeyDecisions(ring.layout).removed.map(({ id: keyId, name }) => ({ keyId, name }));
  const shown = (some: readonly TrustedKey[]) =>
    some.map(({ id: keyId, name, apps, products, powers = [] }) => ({ keyId, name, apps, products, powers }));
  const document = { keys: shown(keys), retired: shown(retired), removed, problems };
  const marked = (state: string, some: readonly object[]) => some.map((one) => ({ state, ...one }));
  printListing(call, {
    document,
    fields: ['state', 'keyId', 'name', 'apps', 'products', 'powers'],
    rows: [
      ...marked('trusted', document.keys),
      ...marked('retired', document.retired),
      ...marked('removed', removed),
    ],
    printText() {
      for (const problem of problems) io.stderr(`gwe: warning: ${problem}\n`);
      if (files.length === 0) io.stdout('no keys: unsigned tarballs are installed\n');
      else
        printTable(io, KEY_COLUMNS, [
          ...keys.map((key) => keyRow(key)),
          ...retired.map((key) => keyRow(key, true)),
        ]);
    },
  });
  return EXIT.ok;
}

const KEY_COLUMNS = [
  { title: 'NAME', rank: 0 },
  { title: 'KEY', rank: 2, isText: true },
  { title: 'VOUCHES FOR', rank: 1 },
];

function keyRow(key: TrustedKey, isRetired = false): Cell[] {
  const words = [...wordsOf(key), ...(isRetired ? ['only for rollbacks (retired)'] : [])];
  return [cell(key.name), cell(key.id), cell(words.join(', '))];
}

function wordsOf({ apps, products, powers = [] }: TrustedKey): string[] {
  return [
    apps?.join(', ') ?? 'all apps',
    ...(products === undefined ? [] : [`products: ${products.join(', ')}`]),
    ...powers.map((power) => `power: ${power}`),
  ];
}

function addKey(call: CommandCall): number {
  const { io, options } = call;
  const [file = ''] = call.positionals;
  const given = readKeyFile(io, file);
  const limits = ['apps', 'powers', 'products'].map((line) => [line, options.text(line)] as const);
  const limit = limits.map(([line, list]) => (list === undefined ? '' : `${line}: ${list}\n`)).join('');
  const name = options.text('name') ?? keyName(basename(file));
  if (!KEY_NAME.test(name)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot add key '${name}': expected a name of letters, digits, _ . @ + - (--name)`,
    );
  }
  const text = `${limit}${given.trimEnd()}\n`;
  const key = decodeTrustedKey(text, name);
  const { layout, directory, keys, retired } = ringOf(call);
  const same = keys.find(({ id }) => id === key.id);
  if (same !== undefined) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot add key '${name}': it is already trusted, as '${same.name}'`,
    );
  }
  const target = join(directory, keyFile(name));
  if (existsSync(target) && !holdsSame(io, target, key)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot add key '${name}': the name is taken; give another one with --name`,
    );
  }
  decideTrusted(layout, key);
  ensureDirectory(directory);
  writeEdited(target, text, { mode: 0o644 });
  for (const old of retired) if (old.id === key.id) removeEdited(join(directory, keyFile(old.name, true)));
  const isFirst = keys.length === 0;
  if (options.has('json')) printDocument(io, { keyId: key.id, name, apps: key.apps ?? null, isFirst });
  else {
    io.stdout(`trusting ${key.id} '${name}' for ${wordsOf(key).join(', ')}\n`);
    if (isFirst) io.stdout('from now on tarballs that are not signed are refused\n');
  }
  warnOfLostWays(call);
  warnOfLack(call);
  return EXIT.ok;
}

/** A file of this key that was put back after it had been removed. */
function holdsSame(io: CommandCall['io'], file: string, key: TrustedKey): boolean {
  try {
    return decodeTrustedKey(readKeyFile(io, file), key.name).id === key.id;
  } catch {
    return false;
  }
}

/** What keeps tarballs from being installed, however they are signed. */
function lacks(call: CommandCall): string[] {
  const settings = loadEngineConfig(layoutOf(call.io, call.options).engineConfig).values;
  if (settings.unreadable !== undefined)
    return settings.unreadable.map((found) => `${found}; nothing is installed until that is corrected`);
  const lack = lackOfKeys(ringOf(call), settings.requireSignatures);
  return lack === undefined ? [] : [lack];
}

function warnOfLack(call: CommandCall): void {
  for (const lack of lacks(call)) call.io.stderr(`gwe: warning: ${lack}\n`);
}

/** A gateway does not roll back to what it does not trust: better to know before the next update fails. */
function warnOfLostWays(call: CommandCall): void {
  for (const way of lostWays(gatewayOf(call))) call.io.stderr(`gwe: warning: ${way}\n`);
}

async function removeKey(call: CommandCall): Promise<number> {
  const { io } = call;
  const [given = ''] = call.positionals;
  const { layout, directory, keys, retired, files } = ringOf(call);
  // A damaged or stray file has no id, and can be removed by its name all the same.
  const file =
    [keyFile(given), keyFile(given, true), given].find((name) => files.includes(name)) ??
    fileOf(byId([...keys, ...retired], given, 'remove'), retired);
  const name = keyName(file);
  const isLast = files.length === 1;
  const effect = isLast ? ', the last one: unsigned tarballs are installed from then on' : '';
  const isAsked = isLast || call.options.has('dry-run');
  if (isAsked && !(await confirm(call, `no longer trust key '${name}'${effect}`))) return EXIT.ok;
  // First the decision: cut off here, the key is worth nothing, and the command can be given again.
  decideRemoved(
    layout,
    [...keys, ...retired].find((key) => fileOf(key, retired) === file),
  );
  removeEdited(join(directory, file));
  if (call.options.has('json')) printDocument(io, { name, isLast });
  else {
    io.stdout(`no longer trusting '${name}'\n`);
    if (isLast) io.stdout('no key is left: unsigned tarballs are installed from now on\n');
  }
  warnOfLostWays(call);
  warnOfLack(call);
  return EXIT.ok;
}

function fileOf(key: TrustedKey, retired: readonly TrustedKey[]): string {
  return keyFile(key.name, retired.includes(key));
}

/** The file of the retired key is there before the other goes: a power cut leaves it retired, never gone. */
async function retireKey(call: CommandCall): Promise<number> {
  const { io } = call;
  const [given = ''] = call.positionals;
  const { layout, directory, keys } = ringOf(call);
  const { name } = keys.find((key) => key.name === given) ?? byId(keys, given, 'retire');
  const context = gatewayOf(call);
  await withTransactionLock(
    context,
    async () => {
      keepSigners(context);
      decideRetired(layout);
      const file = join(directory, keyFile(name));
      writeEdited(join(directory, keyFile(name, true)), readKeyFile(io, file), { mode: 0o644 });
      removeEdited(file);
    },
    patience(io),
  );
  if (call.options.has('json')) printDocument(io, { name });
  else io.stdout(`trusting '${name}' only for rollbacks to versions that it signed for here\n`);
  warnOfLostWays(call);
  warnOfLack(call);
  return EXIT.ok;
}

function byId(keys: readonly TrustedKey[], given: string, verb: string): TrustedKey {
  const found = given.length < SHORTEST_ID ? [] : keys.filter(({ id }) => id.startsWith(given));
  const [key] = found;
  if (key !== undefined && found.length === 1) return key;
  const what = found.length > 1 ? 'several keys begin with that' : 'there is no such key';
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot ${verb} key '${given.slice(0, 70)}': ${what}; see 'gwe keys list'`,
  );
}
