import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ArtifactIndex } from '../../../../src/artifact/manifest/index-guard.ts';
import type { Manifest } from '../../../../src/artifact/manifest/manifest.ts';
import {
  assertFresh,
  assertSigned,
  assertSuitable,
  compareVersions,
  judgeSignatures,
  type TrustedKey,
} from '../../../../src/artifact/manifest/policy.ts';
import {
  addSignature,
  createSigner,
  generateKey,
  type KeyPair,
  readPrivateKey,
  readPublicKey,
} from '../../../../src/artifact/manifest/signature.ts';

const manifest: Manifest = { format: 1, name: 'app', version: '1', entries: [] };
const [alice, bob, mallory] = [generateKey(), generateKey(), generateKey()];

async function signedBy(...keys: KeyPair[]): Promise<ArtifactIndex> {
  const digest = 'ab'.repeat(32);
  let signatures: ArtifactIndex['signatures'] = [];
  for (const key of keys) {
    signatures = await addSignature(
      signatures,
      digest,
      createSigner(readPrivateKey(key.privateKey, undefined, 'k')),
    );
  }
  return { manifest, digest, signatures };
}

const trusted = (name: string, key: KeyPair, apps?: string[]): TrustedKey => ({
  id: key.keyId,
  publicKey: readPublicKey(key.publicKey, name),
  name,
  ...(apps === undefined ? {} : { apps }),
});
const policy = (keys: TrustedKey[], requireSignatures = 1) => ({ isEnforced: true, keys, requireSignatures });
const untrusted = (message: RegExp) => (error: Error & { code?: string }) => {
  assert.equal(error.code, 'ARTIFACT_UNTRUSTED');
  assert.match(error.message, message);
  return true;
};

test('without a key everything passes; with one nothing unsigned does', async () => {
  assertSigned(undefined, { isEnforced: false, keys: [], requireSignatures: 1 }, 'x');
  const strict = policy([trusted('alice', alice)]);
  assert.throws(() => assertSigned(undefined, strict, 'x'), untrusted(/it is not signed/));
  const unsigned = await signedBy();
  assert.throws(() => assertSigned(unsigned, strict, 'x'), untrusted(/it is not signed/));
  assertSigned(await signedBy(alice), strict, 'x');
});

test('a key file that cannot be read vouches for nothing and lets nothing pass', async () => {
  const signed = await signedBy(alice);
  assert.throws(() => assertSigned(signed, policy([]), 'x'), untrusted(/unknown key/));
});

test('arbitrary software: an unknown key, and a known key id with another signature, are refused', async () => {
  const strict = policy([trusted('alice', alice)]);
  const stranger = await signedBy(mallory);
  assert.throws(() => assertSigned(stranger, strict, 'x'), untrusted(/unknown key/));
  const forged = {
    ...stranger,
    signatures: stranger.signatures.map((signature) => ({ ...signature, keyid: alice.keyId })),
  };
  assert.throws(() => assertSigned(forged, strict, 'x'), untrusted(/a wrong signature of alice/));
  const moved = { ...(await signedBy(alice)), digest: 'cd'.repeat(32) };
  assert.throws(() => assertSigned(moved, strict, 'x'), untrusted(/a wrong signature of alice/));
});

test('key compromise below the threshold: one stolen key of two does not do', async () => {
  const strict = policy([trusted('alice', alice), trusted('bob', bob)], 2);
  const one = await signedBy(alice, mallory);
  assert.throws(() => assertSigned(one, strict, 'x'), untrusted(/1 of 2 signatures are good/));
  assertSigned(await signedBy(alice, bob), strict, 'x');
  const twice = policy([trusted('alice', alice), trusted('copy', alice)], 2);
  const single = await signedBy(alice);
  assert.throws(
    () => assertSigned(single, twice, 'x'),
    untrusted(/1 of 2/),
    'the same key in two files is one',
  );
});

test('a key that is limited to other apps does not vouch for this one', async () => {
  const signed = await signedBy(alice);
  const strict = policy([trusted('alice', alice, ['other'])]);
  assert.throws(
    () => assertSigned(signed, strict, 'x'),
    untrusted(/signed for another app or purpose by alice/),
  );
  assertSigned(signed, policy([trusted('alice', alice, ['other', 'app'])]), 'x');
  assert.deepEqual(judgeSignatures(signed, strict.keys), [
    { keyId: alice.keyId, signer: 'alice', verdict: 'limited' },
  ]);
});

test('wrong software: a manifest of another app, version, CPU or gwe is refused', () => {
  const host = { architecture: 'arm64', gweVersion: '2.1.0' };
  const asked = { name: 'app', version: '1' };
  const check =
    (more: Partial<Manifest>, version = host.gweVersion) =>
    () =>
      assertSuitable({ ...manifest, ...more }, asked, { ...host, gweVersion: version });
  check({})();
  assert.throws(check({ name: 'other' }), /its manifest is of 'other.v1.tar.gz', expected its own/);
  assert.throws(check({ version: '2' }), { code: 'ARTIFACT_UNSUITABLE' });
  assert.throws(check({ architectures: ['x64'] }), /made for x64, expected arm64/);
  check({ architectures: ['x64', 'arm64'] })();
  assert.throws(check({ minimum_gwe: '2.2' }), /this is gwe 2.1.0, expected 2.2 or newer/);
  check({ minimum_gwe: '2.1' })();
  check({ minimum_gwe: '99' }, 'dev')();
});

test('rollback: a release below the highest seen is refused, and so is one without a number', () => {
  const check = (more: Partial<Manifest>, highestRelease?: number) => () =>
    assertFresh(
      { ...manifest, ...more },
      { nowS: 1000, ...(highestRelease === undefined ? {} : { highestRelease }) },
    );
  check({})();
  check({ release: 1 })();
  check({ release: 5 }, 5)();
  assert.throws(check({ release: 4 }, 5), /it is release 4, expected release 5 or higher/);
  assert.throws(check({}, 5), { code: 'ARTIFACT_STALE' });
  check({ release: 4, downgrade_from: [5] }, 5)();
  assert.throws(
    check({ release: 4, downgrade_from: [5] }, 6),
    /"downgrade_from": \[6\]/,
    'it names another one',
  );
});

test('freeze: what has expired is refused from that second on', () => {
  const check = (expires: number) => () => assertFresh({ ...manifest, expires }, { nowS: 1000 });
  check(1001)();
  assert.throws(check(1000), /it expired at 1970-01-01T00:16:40Z/);
});

test('versions of gwe compare by numbers', () => {
  assert.ok(compareVersions('2.10.0', '2.9') > 0);
  assert.ok(compareVersions('2', '2.0.0') === 0);
  assert.ok(compareVersions('1.9.9', '2-rc1') < 0);
});
