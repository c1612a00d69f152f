import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  addSignature,
  createRemoteSigner,
  createSigner,
  decodeSignatures,
  generateKey,
  isSignedBy,
  keyId,
  readPrivateKey,
  readPublicKey,
  renderSignatures,
  signedMessage,
} from '../../../../src/artifact/manifest/signature.ts';

const DIGEST = 'ab'.repeat(32);

function scratch(t: TestContext): (name: string) => string {
  const root = mkdtempSync(join(tmpdir(), 'gwe-sign-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return (name) => join(root, name);
}

const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { stdio: 'pipe' });

test("openssl verifies gwe's signature, with the key that gwe made", async (t) => {
  const at = scratch(t);
  const pair = generateKey();
  const signer = createSigner(readPrivateKey(pair.privateKey, undefined, 'k'));
  writeFileSync(at('pub'), pair.publicKey);
  writeFileSync(at('message'), signedMessage(DIGEST));
  writeFileSync(at('signature'), await signer.sign(signedMessage(DIGEST)));
  const args = ['pkeyutl', '-verify', '-rawin', '-pubin', '-inkey', at('pub'), '-sigfile', at('signature')];
  assert.match(openssl(...args, '-in', at('message')).toString(), /Verified Successfully/);
  writeFileSync(at('message'), signedMessage('cd'.repeat(32)));
  assert.notEqual(spawnSync('openssl', [...args, '-in', at('message')]).status, 0, 'and not another message');
});

test("gwe verifies openssl's signature, with the key that openssl made", (t) => {
  const at = scratch(t);
  openssl('genpkey', '-algorithm', 'ed25519', '-out', at('key'));
  openssl('pkey', '-in', at('key'), '-pubout', '-out', at('pub'));
  writeFileSync(at('message'), signedMessage(DIGEST));
  const bytes = openssl('pkeyutl', '-sign', '-rawin', '-inkey', at('key'), '-in', at('message'));
  const publicKey = readPublicKey(readFileSync(at('pub'), 'utf8'), 'pub');
  const signature = { keyid: keyId(publicKey), signature: bytes.toString('base64') };
  assert.equal(isSignedBy(publicKey, DIGEST, signature), true);
  assert.equal(isSignedBy(publicKey, 'cd'.repeat(32), signature), false);
  const der = openssl('pkey', '-in', at('key'), '-pubout', '-outform', 'DER');
  writeFileSync(at('der'), der);
  const sum = execFileSync('sha256sum', [at('der')], { encoding: 'utf8' });
  assert.equal(keyId(publicKey), sum.slice(0, 32), 'the key id is the beginning of sha256(SPKI)');
});

test('openssl opens a key that gwe encrypted, and the other way round', (t) => {
  const at = scratch(t);
  const pair = generateKey('secret words');
  assert.match(pair.privateKey, /BEGIN ENCRYPTED PRIVATE KEY/);
  writeFileSync(at('key'), pair.privateKey);
  const opened = openssl('pkey', '-in', at('key'), '-passin', 'pass:secret words', '-pubout').toString();
  assert.equal(opened, pair.publicKey);
  openssl('genpkey', '-algorithm', 'ed25519', '-aes256', '-pass', 'pass:other', '-out', at('theirs'));
  assert.equal(readPrivateKey(readFileSync(at('theirs'), 'utf8'), 'other', 'k').asymmetricKeyType, 'ed25519');
});

test('a wrong or missing passphrase, another kind of key and rubbish are refused without showing any of them', (t) => {
  const at = scratch(t);
  const { privateKey, publicKey } = generateKey('secret words');
  assert.throws(
    () => readPrivateKey(privateKey, undefined, 'k'),
    /an encrypted key, expected --passphrase-file/,
  );
  assert.throws(() => readPrivateKey(privateKey, 'guess', 'k'), /this passphrase does not open/);
  assert.throws(() => readPrivateKey(publicKey, undefined, 'k'), /no private key/);
  assert.throws(() => readPublicKey(generateKey().privateKey, 'k'), /no public key/);
  assert.throws(() => readPublicKey(`${publicKey}${publicKey}`, 'k'), /2 PEM blocks/);
  openssl('genpkey', '-algorithm', 'ed448', '-out', at('448'));
  const other = readFileSync(at('448'), 'utf8');
  assert.throws(
    () => readPrivateKey(other, undefined, 'k'),
    (error: Error) => {
      assert.match(error.message, /a key of type ed448, expected ed25519/);
      assert.ok(!error.message.includes(other.split('\n')[1] ?? '?'));
      return true;
    },
  );
});

test('a signature more keeps the others, and one of the same key is replaced', async () => {
  const signers = [generateKey(), generateKey()].map((pair) =>
    createSigner(readPrivateKey(pair.privateKey, undefined, 'k')),
  );
  const [one, two] = signers;
  assert.ok(one && two);
  const first = await addSignature([], DIGEST, one);
  const both = await addSignature(first, DIGEST, two);
  assert.equal((await addSignature(both, DIGEST, one)).length, 2);
  assert.deepEqual(
    decodeSignatures(renderSignatures(both)),
    [...both].sort((a, b) => (a.keyid < b.keyid ? -1 : 1)),
  );
});

test('a remote signer that answers with anything but its signature is refused', async () => {
  const pair = generateKey();
  const message = signedMessage(DIGEST);
  const right = createSigner(readPrivateKey(pair.privateKey, undefined, 'k'));
  const ask = createRemoteSigner(pair.publicKey, 'k', (bytes) => right.sign(bytes));
  assert.equal((await ask.sign(message)).length, 64);
  for (const answer of [Buffer.alloc(0), Buffer.alloc(64), Buffer.alloc(65)]) {
    const signer = createRemoteSigner(pair.publicKey, 'k', () => answer);
    await assert.rejects(async () => signer.sign(message), /bytes that are no signature of this key/);
  }
});

test('lists of signatures that name a key twice, are unsorted or too long are refused', () => {
  const entry = (digit: string) => ({ keyid: digit.repeat(32), signature: `${'A'.repeat(86)}==` });
  const list = (...signatures: object[]): Buffer => Buffer.from(JSON.stringify({ format: 1, signatures }));
  assert.equal(decodeSignatures(list(entry('1'), entry('2'))).length, 2);
  assert.throws(() => decodeSignatures(list(entry('1'), entry('1'))), /each key once/);
  assert.throws(() => decodeSignatures(list(entry('2'), entry('1'))), /each key once/);
  assert.throws(
    () => decodeSignatures(list(...Array.from({ length: 33 }, () => entry('1')))),
    /'signatures' is wrong/,
  );
  assert.throws(() => decodeSignatures(list({ ...entry('1'), keyid: 'x' })), /keyid' is wrong/);
});

test('a key of small order is refused in every encoding, by the point itself', () => {
  const p = 2n ** 255n - 19n;
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n;
    for (let [square, left] = [base % p, exponent]; left > 0n; square = (square * square) % p, left >>= 1n)
      if ((left & 1n) === 1n) result = (result * square) % p;
    return result;
  };
  const d = (p - ((121665n * power(121666n, p - 2n)) % p)) % p;
  // 8P = 0: y is 1, -1 or 0, or doubling gives 0, which is d y^4 + 2 y^2 - 1 = 0.
  const root = (square: bigint): bigint => {
    const guess = power(square, (p + 3n) / 8n);
    return (guess * guess - square) % p === 0n ? guess : (guess * power(2n, (p - 1n) / 4n)) % p;
  };
  const isRoot = (y: bigint, square: bigint): boolean => (((y * y - square) % p) + p) % p === 0n;
  const inverseD = power(d, p - 2n);
  const s = root((1n + d) % p);
  const squares = [s - 1n, p - s - 1n].map((each) => ((((each % p) + p) % p) * inverseD) % p);
  const eighths = squares.flatMap((square) => {
    const y = root(square);
    return isRoot(y, square) ? [y, p - y] : [];
  });
  assert.equal(eighths.length, 2, 'y and -y of order 8');
  const all = [0n, 1n, p - 1n, p, p + 1n, ...eighths];
  for (const y of all) {
    for (const sign of [0n, 1n]) {
      const bytes = Buffer.from((y | (sign << 255n)).toString(16).padStart(64, '0'), 'hex').reverse();
      const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), bytes]);
      const pem = `-----BEGIN PUBLIC KEY-----\n${der.toString('base64')}\n-----END PUBLIC KEY-----\n`;
      assert.throws(
        () => readPublicKey(pem, 'k'),
        /a point of small order|a damaged public key/,
        bytes.toString('hex'),
      );
    }
  }
});
