/**
 * `gwe releases ...`: the list of the versions of a product that gateways may install, where a key of theirs has `powers:
 * releases`.
 *
 * `show --json` prints {version, file, list: {product, release, issued, expires, apps}, signatures: [key id]}, `make`
 * {version, file, product, release, expires}, `sign` {version, file, keyId, signatures}, `check` {version, file, isGood,
 * faults: [text]}; times are Unix seconds.
 */
import { basename } from 'node:path';
import { DEFAULT_LIMITS } from '../../artifact/limits.ts';
import type { ArtifactIndex } from '../../artifact/manifest/index-guard.ts';
import {
  assertListed,
  decodeReleaseList,
  listRefusal,
  MOST_LIST_BYTES,
  RELEASE_LIST_ID,
  type ReleaseList,
  renderReleaseList,
  type SignedList,
  signReleaseList,
} from '../../artifact/manifest/release-list.ts';
import { inspectArtifact } from '../../artifact/unpack/extract.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { readFileBounded, writeFileDurable } from '../../base/fs.ts';
import { decodeTrustedKey, keyName } from '../../store/trust.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { absolutePath } from '../shell/path.ts';
import { printDocument } from '../shell/screen.ts';
import { PASSPHRASE_OPTION, readKeyFile, readSigner, SIGN_CMD_OPTION } from './signing.ts';

const DAY_S = 86_400;

export const releasesCommands: readonly CommandSpec[] = [
  {
    path: ['releases', 'make'],
    positionals: ['PRODUCT', 'TARBALL...'],
    summary: `write ${RELEASE_LIST_ID}: gateways that go by it install these tarballs and no others, once it is signed`,
    options: [
      { name: 'release', value: 'N', help: 'higher than that of every list before' },
      { name: 'days', value: 'COUNT', help: 'until it expires', default: '30' },
      JSON_OPTION,
    ],
    run: makeList,
  },
  {
    path: ['releases', 'sign'],
    positionals: ['FILE'],
    summary: 'add a signature to a release list',
    options: [
      { name: 'key', value: 'FILE', help: 'private key to sign with; the public one with --sign-cmd' },
      PASSPHRASE_OPTION,
      SIGN_CMD_OPTION,
      JSON_OPTION,
    ],
    run: signList,
  },
  {
    path: ['releases', 'show'],
    positionals: ['FILE'],
    summary: 'print what a release list names, and who has signed it',
    options: [JSON_OPTION],
    run: showList,
  },
  {
    path: ['releases', 'check'],
    positionals: ['FILE', 'TARBALL...'],
    summary: 'whether a gateway that goes by this list would install the tarballs; 1 if it would not',
    options: [
      {
        name: 'keys',
        value: 'FILE',
        many: true,
        help: 'public keys with powers: releases, all of which must have signed',
      },
      JSON_OPTION,
    ],
    run: checkList,
  },
];

async function makeList(call: CommandCall): Promise<number> {
  const [product = '', ...files] = call.positionals;
  const release = numberOf(call, 'release');
  const issued = Math.floor(call.io.clock.wallMs() / 1000);
  const expires = issued + numberOf(call, 'days', 30) * DAY_S;
  const apps: Record<string, ReleaseList['apps'][string]> = {};
  for (const file of files) {
    const { manifest, digest } = await readIndexOf(call, file);
    const { name, version, architectures, release: own } = manifest;
    const one = { version, digest, ...(own === undefined ? {} : { release: own }) };
    const targets = ['x64', 'arm64', 'armv7l'].filter((target) => architectures?.includes(target) === true);
    const entries = targets.length === 0 ? [one] : targets.map((target) => ({ ...one, target }));
    apps[name] = [...(apps[name] ?? []), ...entries] as ReleaseList['apps'][string];
  }
  const bytes = renderReleaseList({ product, release, issued, expires, apps });
  writeFileDurable(absolutePath(call.io, RELEASE_LIST_ID), bytes);
  if (call.options.has('json')) printDocument(call.io, { file: RELEASE_LIST_ID, product, release, expires });
  else call.io.stdout(`${RELEASE_LIST_ID}: release ${release} of ${product}, nobody has signed it yet\n`);
  return EXIT.ok;
}

function numberOf(call: CommandCall, name: string, usual?: number): number {
  const text = call.options.text(name);
  if (text === undefined && usual !== undefined) return usual;
  if (text === undefined)
    throw new GweError('USAGE_MISSING', `cannot make a release list: --${name} is missing`);
  if (/^[1-9]\d{0,11}$/.test(text)) return Number(text);
  throw new GweError('USAGE_BAD_VALUE', `--${name}: found '${text.slice(0, 40)}', expected a number above 0`);
}

/** Throws ARTIFACT_BUILD for a tarball without a manifest: nothing says what it is. */
async function readIndexOf({ io }: CommandCall, file: string): Promise<ArtifactIndex> {
  const limits = { limits: DEFAULT_LIMITS, signal: io.signal };
  const { index } = await naming('list', file, () => inspectArtifact(absolutePath(io, file), limits));
  if (index !== undefined) return index;
  throw new GweError('ARTIFACT_BUILD', `cannot list '${file}': it has no manifest; gwe sign makes one`);
}

/** What is wrong with an artifact is said without its file's name by those who know only its bytes. */
async function naming<T>(verb: string, file: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof GweError) || !error.code.startsWith('ARTIFACT_')) throw error;
    const found = describeError(error).replace(/^cannot read tarball: /, 'found ');
    throw new GweError(error.code, `cannot ${verb} '${file}': ${found}`, { cause: error });
  }
}

async function readList({ io }: CommandCall, file: string): Promise<SignedList> {
  const bytes = readFileBounded(absolutePath(io, file), MOST_LIST_BYTES);
  if (bytes !== undefined) return naming('read release list', file, () => decodeReleaseList(bytes));
  throw new GweError('USAGE_BAD_VALUE', `cannot read release list '${file}': there is no such file`);
}

async function signList(call: CommandCall): Promise<number> {
  const [file = ''] = call.positionals;
  const signer = readSigner(call.io, call.options, 'key');
  if (signer === undefined) throw new GweError('USAGE_MISSING', 'cannot sign: --key FILE is missing');
  const bytes = await signReleaseList(await readList(call, file), signer);
  writeFileDurable(absolutePath(call.io, file), bytes);
  const signatures = decodeReleaseList(bytes).signatures.map(({ keyid }) => keyid);
  if (call.options.has('json')) printDocument(call.io, { file, keyId: signer.keyId, signatures });
  else call.io.stdout(`signed by ${signer.keyId} (${signatures.length} in all)\n`);
  return EXIT.ok;
}

async function showList(call: CommandCall): Promise<number> {
  const [file = ''] = call.positionals;
  const { list, signatures } = await readList(call, file);
  const signers = signatures.map(({ keyid }) => keyid);
  if (call.options.has('json')) {
    printDocument(call.io, { file, list, signatures: signers });
    return EXIT.ok;
  }
  const expires = new Date(list.expires * 1000).toISOString().slice(0, 16).replace('T', ' ');
  call.io.stdout(`release ${list.release} of ${list.product}, until ${expires} UTC\n`);
  for (const [app, versions] of Object.entries(list.apps))
    for (const { version, digest, target } of versions)
      call.io.stdout(`${app} ${version} ${digest.slice(0, 8)}${target === undefined ? '' : ` ${target}`}\n`);
  call.io.stdout(`signed by ${signers.join(', ') || 'nobody'}\n`);
  return EXIT.ok;
}

/** By the list alone: what else a gateway minds is for `gwe verify` and `gwe plan`. */
async function checkList(call: CommandCall): Promise<number> {
  const [file = '', ...tarballs] = call.positionals;
  const signed = await readList(call, file);
  const { list } = signed;
  const keys = call.options.list('keys').map((key) => ({
    ...decodeTrustedKey(readKeyFile(call.io, key), keyName(basename(key))),
    powers: ['releases'] as const,
  }));
  const expired = list.expires * 1000 <= call.io.clock.wallMs() ? 'it has expired' : undefined;
  const faults = [listRefusal(signed, list.product, { keys, needed: keys.length }), expired].filter(
    (fault) => fault !== undefined,
  );
  for (const tarball of tarballs) {
    const index = await readIndexOf(call, tarball);
    const targets = index.manifest.architectures ?? ['x64', 'arm64', 'armv7l'];
    for (const target of targets) {
      try {
        assertListed(list, index, target);
      } catch (error) {
        if (!(error instanceof GweError)) throw error;
        faults.push(`${describeError(error)} (${target})`);
      }
    }
  }
  const isJson = call.options.has('json');
  if (isJson) printDocument(call.io, { file, isGood: faults.length === 0, faults });
  for (const fault of isJson ? [] : faults) call.io.stdout(`[FAIL] ${fault}\n`);
  if (!isJson && faults.length === 0) call.io.stdout(`[PASS] release list ${list.release} names all of it\n`);
  return faults.length === 0 ? EXIT.ok : EXIT.failed;
}
