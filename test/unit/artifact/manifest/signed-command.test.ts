/** What a signature of a command is over, and whose count. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TrustedKey } from '../../../../src/artifact/manifest/policy.ts';
import { createSigner, readPrivateKey, readPublicKey } from '../../../../src/artifact/manifest/signature.ts';
import {
  type Addressee,
  commandRefusal,
  decodeSignedCommand,
  signCommand,
} from '../../../../src/artifact/manifest/signed-command.ts';
import { newKey } from '../../../helpers/indexed.ts';

const pair = newKey();
const signer = createSigner(readPrivateKey(pair.privateKey, undefined, 'test'));
const boss: TrustedKey = {
  id: pair.keyId,
  publicKey: readPublicKey(pair.publicKey, 'boss'),
  name: 'boss',
  powers: ['commands'],
};
const here = { product: 'p1', serial: 'gw-1' };
const [until, counter] = [1_900_000_000, 1_800_000_000_000];

const sign = (fields: object, to: Addressee = here): Promise<string> =>
  signCommand({ ...fields }, to, { signer, counter, until });

function refusal(text: string, to: Required<Addressee> = here, key = boss): string | undefined {
  const decoded = decodeSignedCommand(text);
  return decoded.kind === 'signed' ? commandRefusal(decoded.command, to, [key]) : decoded.kind;
}

const INSTALL = { install: [{ name: 'one.v1.tar.gz', sha256: 'a'.repeat(64), urgent: true }] };

test('a signed command is for the gateway, or the product, that it was signed for', async () => {
  const [device, product] = [await sign(INSTALL), await sign(INSTALL, { product: 'p1' })];
  assert.equal(refusal(device), undefined);
  assert.match(
    refusal(device, { product: 'p1', serial: 'gw-2' }) ?? '',
    /not what 'boss' signed for this device/,
  );
  assert.equal(refusal(product, { product: 'p1', serial: 'gw-2' }), undefined);
  assert.match(refusal(product, { product: 'p2', serial: 'gw-1' }) ?? '', /signed for this product/);
});

test('the order of keys and white space are nobody’s concern; id, not_before and window may be added', async () => {
  const { signed, ...rest } = JSON.parse(await sign({ ...INSTALL, together: true })) as { signed: object };
  const late = { window: 'Sat 01:00-02:00', signed, not_before: 5, ...rest, id: 'r1.1' };
  assert.equal(refusal(JSON.stringify(late, undefined, 2)), undefined);
  const { together: _together, ...apart } = late as { together?: true };
  assert.match(refusal(JSON.stringify(apart)) ?? '', /is not what/);
});

for (const [what, change] of [
  ['an entry more', { install: [...INSTALL.install, { name: 'two.v1.tar.gz' }] }],
  ['another version', { install: [{ ...INSTALL.install[0], name: 'one.v2.tar.gz' }] }],
  ['no sha256 any more', { install: [{ name: 'one.v1.tar.gz', urgent: true }] }],
  ['a log that is asked for', { logs: [{ app: 'one' }] }],
  ['together', { together: true }],
  ['a key that gwe does not know', { later: 1 }],
  ['a number that has no canonical form', { later: 1.5 }],
] as const) {
  test(`with ${what} it is not what was signed`, async () => {
    const fields = { ...(JSON.parse(await sign(INSTALL)) as object), ...change };
    assert.match(refusal(JSON.stringify(fields)) ?? '', /is not what 'boss' signed|a whole number/);
  });
}

test('a name that every object has is signed like any other', async () => {
  const text = await sign(INSTALL);
  assert.match(refusal(text.replace('{', '{"__proto__":{"together":true},')) ?? '', /is not what/);
});

for (const [what, change] of [
  ['no counter', { counter: undefined }],
  ['a counter that is no whole number', { counter: 1.5 }],
  ['a counter later than its until', { counter: until * 1000 + 1 }],
  ['an until of text', { until: '2030-01-01' }],
  ['a key more', { also: 1 }],
  ['somebody else to be for', { for: 'everybody' }],
  ['a signature of other length', { sig: 'AAAA' }],
] as const) {
  test(`a signature with ${what} is a bad one, never none`, async () => {
    const { signed, ...rest } = JSON.parse(await sign(INSTALL)) as { signed: object };
    const text = JSON.stringify({ ...rest, signed: { ...signed, ...change } });
    assert.equal(decodeSignedCommand(text).kind, 'bad');
  });
}

test('what is no object, or too long, is no signed command', () => {
  for (const text of ['[]', 'null', '"x"', '{', `{"x":"${'y'.repeat(70_000)}"}`])
    assert.equal(decodeSignedCommand(text).kind, 'bad', text.slice(0, 10));
  assert.equal(decodeSignedCommand('{"install":[]}').kind, 'unsigned');
  assert.equal(decodeSignedCommand('{"signed":null}').kind, 'bad');
});

test('a key commands nothing without the power, and only what its file names', async () => {
  const text = await sign(INSTALL);
  assert.match(refusal(text, here, { ...boss, powers: ['artifacts'] }) ?? '', /no 'powers: commands'/);
  assert.match(refusal(text, here, { ...boss, apps: ['two'] }) ?? '', /does not command 'one'/);
  assert.match(refusal(text, here, { ...boss, products: ['p2'] }) ?? '', /other products than 'p1'/);
  assert.match(refusal(text, here, { ...boss, id: 'f'.repeat(32) }) ?? '', /unknown key/);
  assert.equal(refusal(text, here, { ...boss, apps: ['one'], products: ['p1'] }), undefined);
  assert.match(
    refusal(await sign({ install: ['x'] }), here, { ...boss, apps: ['one'] }) ?? '',
    /names no app/,
  );
});
