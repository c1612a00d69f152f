/**
 * `gwe keygen`, and `gwe keys ...`: whom this gateway trusts.
 *
 * `keys list --json` prints {version, keys: [{keyId, name, apps}], problems: [text]}; `apps` is absent for a key that may
 * vouch for all.
 */
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { noteNoWayBack } from '../agent/trust.ts';
import { KEYS_APP_NAME, parseArtifactName, RESERVED_APP_NAME, renderArtifactName } from '../artifact/name.ts';
import { packIndexed } from '../artifact/pack-indexed.ts';
import { type PlannedEntry, sortEntries } from '../artifact/plan-tree.ts';
import type { TrustedKey } from '../artifact/policy.ts';
import { generateKey } from '../artifact/signature.ts';
import { GweError } from '../base/errors.ts';
import { ensureDirectory, removeFileDurable, writeFileDurable } from '../base/fs.ts';
import { loadEngineConfig } from '../config/files.ts';
import { decodeTrustedKey, lackOfKeys, readKeyRing } from '../store/trust.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { gatewayOf } from './gateway.ts';
import { JSON_OPTION } from './options.ts';
import { layoutOf } from './root.ts';
import { cell, printDocument, printTable } from './screen.ts';
import { PASSPHRASE_OPTION, readKeyFile, readPassphrase, readSigner, SIGN_CMD_OPTION } from './signing.ts';

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
  ],
  async run({ io, options }) {
    const base = resolve(io.cwd, options.text('out') ?? 'gwe-signing');
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
    io.stdout(`key ${pair.keyId}\nprivate: ${secret}\npublic:  ${open}\n`);
    return EXIT.ok;
  },
};

export const keysCommands: readonly CommandSpec[] = [
  {
    path: ['keys', 'list'],
    positionals: [],
    summary: 'the keys whose signatures this gateway trusts',
    options: [JSON_OPTION],
    run: async (call) => listKeys(call),
  },
  {
    path: ['keys', 'add'],
    positionals: ['FILE'],
    summary: 'trust a public key; from the first one on nothing unsigned is installed',
    options: [
      { name: 'name', value: 'NAME', help: "name to keep it under; else the file's" },
      { name: 'apps', value: 'APP,APP', help: 'the apps that it may vouch for; else all' },
    ],
    run: async (call) => addKey(call),
  },
  {
    path: ['keys', 'remove'],
    positionals: ['ID'],
    summary: 'trust a key no longer; ID is its name, or its id or the beginning of that',
    options: [],
    run: async (call) => removeKey(call),
  },
  {
    path: ['keys', 'pack'],
    positionals: ['VERSION', 'FILE...'],
    summary:
      'make gwe-keys.vVERSION.tar.gz: installed like an app, it has gateways trust these keys and no others; enough of ' +
      'the old keys and enough of the new ones must sign it (gwe sign adds signatures)',
    options: [
      { name: 'release', value: 'N', help: 'higher than that of every set before' },
      { name: 'sign-key', value: 'FILE', help: 'private key to sign with; the public one with --sign-cmd' },
      PASSPHRASE_OPTION,
      SIGN_CMD_OPTION,
    ],
    run: (call) => packKeys(call),
  },
];

/** The tarball of a set of keys: for every gateway that trusts who signs it. */
async function packKeys(call: CommandCall): Promise<number> {
  const { io, options } = call;
  const [version = '', ...files] = call.positionals;
  const text = options.text('release') ?? '';
  const release = /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  const signer = readSigner(io, options, 'sign-key');
  if (release === undefined || signer === undefined) {
    throw new GweError('USAGE_MISSING', 'cannot pack keys: --release N and --sign-key FILE are needed');
  }
  const facts = { name: KEYS_APP_NAME, version, release };
  const file = resolve(io.cwd, renderArtifactName(facts));
  const entries = sortEntries(files.map((each) => planKey(call, each)));
  if (new Set(entries.map(({ path }) => path)).size < entries.length) {
    throw new GweError('USAGE_BAD_VALUE', 'cannot pack keys: two of them have the same name');
  }
  parseArtifactName(renderArtifactName(facts));
  await packIndexed(file, { facts, entries, signers: [signer] }, io.signal);
  io.stdout(`${file}\n`);
  return EXIT.ok;
}

function planKey({ io }: CommandCall, file: string): PlannedEntry {
  const name = basename(file).replace(/\.(pub|pem)$/, '');
  const text = readKeyFile(io, file);
  decodeTrustedKey(text, name);
  const bytes = Buffer.from(text);
  const source = { kind: 'bytes', bytes } as const;
  return { path: `${name}.pub`, type: 'file', mode: 0o644, sizeBytes: bytes.length, target: '', source };
}

function ringOf(call: CommandCall) {
  const directory = layoutOf(call.io, call.options).keysDirectory;
  return { directory, ...readKeyRing(directory) };
}

function listKeys(call: CommandCall): number {
  const { io, options } = call;
  const ring = ringOf(call);
  const { keys, files } = ring;
  const lack = lackOfKeys(ring, signaturesNeeded(call));
  const problems = [...ring.problems, ...(lack === undefined ? [] : [lack])];
  if (options.has('json')) {
    printDocument(io, { keys: keys.map(({ id: keyId, name, apps }) => ({ keyId, name, apps })), problems });
    return EXIT.ok;
  }
  for (const problem of problems) io.stderr(`gwe: warning: ${problem}\n`);
  if (files.length === 0) io.stdout('no keys: unsigned tarballs are installed\n');
  printTable(
    io,
    keys.map(({ id, name, apps }) => [
      cell(id),
      cell(name),
      cell(apps === undefined ? 'all apps' : apps.join(', ')),
    ]),
  );
  return EXIT.ok;
}

function addKey(call: CommandCall): number {
  const { io, options } = call;
  const [file = ''] = call.positionals;
  const given = readKeyFile(io, file);
  const apps = options.text('apps');
  const limit = apps === undefined ? '' : `apps: ${apps}\n`;
  const name = options.text('name') ?? basename(file).replace(/\.(pub|pem)$/, '');
  if (!KEY_NAME.test(name)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot add key '${name}': expected a name of letters, digits, _ . @ + - (--name)`,
    );
  }
  const text = `${limit}${given.trimEnd()}\n`;
  const key = decodeTrustedKey(text, name);
  const { directory, keys } = ringOf(call);
  const same = keys.find(({ id }) => id === key.id);
  if (same !== undefined) {
    throw new GweError('USAGE_BAD_VALUE', `cannot add key '${name}': it is there already, as '${same.name}'`);
  }
  const target = join(directory, `${name}.pub`);
  if (existsSync(target)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot add key '${name}': the name is taken, give another one with --name`,
    );
  }
  ensureDirectory(directory);
  writeFileDurable(target, text);
  io.stdout(
    `trusting ${key.id} '${name}' for ${key.apps === undefined ? 'all apps' : key.apps.join(', ')}\n`,
  );
  if (keys.length === 0) io.stdout('from now on tarballs that are not signed are refused\n');
  warnOfLostWays(call);
  warnOfLack(call);
  return EXIT.ok;
}

function signaturesNeeded(call: CommandCall): number {
  return loadEngineConfig(layoutOf(call.io, call.options).engineConfig).values.requireSignatures;
}

function warnOfLack(call: CommandCall): void {
  const lack = lackOfKeys(ringOf(call), signaturesNeeded(call));
  if (lack !== undefined) call.io.stderr(`gwe: warning: ${lack}\n`);
}

/** A gateway does not go back to what it does not trust: better known before the next update fails. */
function warnOfLostWays(call: CommandCall): void {
  const context = gatewayOf(call);
  for (const [app, { active }] of Object.entries(context.installed.all())) {
    if (active === undefined || app === RESERVED_APP_NAME || app === KEYS_APP_NAME) continue;
    const note = noteNoWayBack(context, { app, ...active });
    if (note !== undefined) call.io.stderr(`gwe: warning: app '${app}': ${note}\n`);
  }
}

function removeKey(call: CommandCall): number {
  const { io } = call;
  const [given = ''] = call.positionals;
  const { directory, keys, files } = ringOf(call);
  // A damaged file has no id, and can be removed by its name all the same.
  const name = files.includes(`${given}.pub`) ? given : byId(keys, given).name;
  removeFileDurable(join(directory, `${name}.pub`));
  io.stdout(`no longer trusting '${name}'\n`);
  if (files.length === 1) io.stdout('no key is left: unsigned tarballs are installed from now on\n');
  warnOfLack(call);
  return EXIT.ok;
}

function byId(keys: readonly TrustedKey[], given: string): TrustedKey {
  const found = given.length < SHORTEST_ID ? [] : keys.filter(({ id }) => id.startsWith(given));
  const [key] = found;
  if (key !== undefined && found.length === 1) return key;
  const what = found.length > 1 ? 'several keys begin like this' : 'there is no such key';
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot remove key '${given.slice(0, 70)}': ${what}; see 'gwe keys list'`,
  );
}
