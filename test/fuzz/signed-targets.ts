/** What people sign: commands, and lists of releases. Nothing that a mutation makes of one is taken for signed. */
import assert from 'node:assert/strict';
import { renderCanonical } from '../../src/artifact/manifest/canonical-json.ts';
import type { TrustedKey } from '../../src/artifact/manifest/policy.ts';
import {
  decodeReleaseList,
  listRefusal,
  renderReleaseList,
  signReleaseList,
} from '../../src/artifact/manifest/release-list.ts';
import { createSigner, readPrivateKey, readPublicKey } from '../../src/artifact/manifest/signature.ts';
import {
  commandRefusal,
  decodeSignedCommand,
  signCommand,
} from '../../src/artifact/manifest/signed-command.ts';
import { decodeInstruction } from '../../src/protocol/messages.ts';
import { newKey } from '../helpers/indexed.ts';
import type { FuzzTarget } from './targets.ts';

const WORDS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\u0000',
  '__proto__',
  '1e3',
  '-1',
  '0.5',
  '9007199254740993',
];
const HERE = { product: 'p1', serial: 'gw-1' };

export async function signedTargets(): Promise<FuzzTarget[]> {
  const pair = newKey();
  const signer = createSigner(readPrivateKey(pair.privateKey, undefined, 'fuzz'));
  const key: TrustedKey = {
    id: pair.keyId,
    publicKey: readPublicKey(pair.publicKey, 'fuzz'),
    name: 'fuzz',
    powers: ['commands', 'releases'],
  };
  return [await commandTarget(signer, key), await listTarget(signer, key)];
}

type Signer = Parameters<typeof signCommand>[2]['signer'];

async function commandTarget(signer: Signer, key: TrustedKey): Promise<FuzzTarget> {
  const body = { install: [{ name: 'one.v1.tar.gz', urgent: true }], logs: [{ app: 'one' }] };
  const signing = { signer, counter: 1_800_000_000_000, until: 1_900_000_000 };
  const seeds = [
    await signCommand({ ...body, id: 'r1' }, HERE, signing),
    await signCommand(body, { product: HERE.product }, signing),
  ];
  return {
    name: 'signed-command',
    seeds: seeds.map((seed) => Buffer.from(seed)),
    words: [
      ...WORDS,
      '"signed"',
      '"by"',
      '"counter"',
      '"until"',
      '"for"',
      '"sig"',
      '"install"',
      '"not_before"',
      '"window"',
    ],
    limitBytes: 80 * 1024,
    run(input) {
      const text = input.toString('utf8');
      const decoded = decodeSignedCommand(text);
      if (decoded.kind !== 'signed') return;
      const refusal = commandRefusal(decoded.command, HERE, [key]);
      if (refusal !== undefined) return;
      assert.equal(
        renderCanonical(decoded.command.body),
        renderCanonical(body),
        'what was signed, and nothing else',
      );
      assert.notEqual(decodeInstruction(text).kind, 'none');
    },
  };
}

async function listTarget(signer: Signer, key: TrustedKey): Promise<FuzzTarget> {
  const apps = { one: [{ version: '1', digest: 'a'.repeat(64), target: 'x64', release: 3 }] };
  const list = { product: 'p1', release: 7, issued: 1_800_000_000, expires: 1_900_000_000, apps };
  const seed = await signReleaseList(decodeReleaseList(renderReleaseList(list)), signer);
  const signed = decodeReleaseList(seed).digest;
  return {
    name: 'release-list',
    seeds: [seed, renderReleaseList(list)],
    words: [
      ...WORDS,
      '"apps"',
      '"digest"',
      '"expires"',
      '"release"',
      '"product"',
      '"signatures"',
      '"keyid"',
      '"target"',
    ],
    limitBytes: 300 * 1024,
    run(input) {
      const bytes = canonical(input);
      const found = decodeReleaseList(bytes);
      assert.deepEqual(renderReleaseList(found.list, found.signatures), bytes, 'one form only');
      const refusal = listRefusal(found, 'p1', { keys: [key], needed: 1 });
      assert.ok(refusal !== undefined || found.digest === signed, 'what was signed, and nothing else');
    },
  };
}

/** Mutation breaks the form, and behind it nothing else would be tried. */
function canonical(input: Buffer): Buffer {
  if (input.length % 4 === 3) return input;
  try {
    return Buffer.from(renderCanonical(JSON.parse(input.toString('utf8'))));
  } catch {
    return input;
  }
}
