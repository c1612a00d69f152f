import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { assertRefused, withUnpacked } from '../../../helpers/artifact.ts';
import { alter, fileEntry, forge, makeIndexed, manifestText, sha256 } from '../../../helpers/indexed.ts';
import { gnuLong, gzipTar, paxEntry, rawEntry } from '../../../helpers/tar-bytes.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const FILES = { 'a.txt': 'one', 'b.txt': 'two', 'install.sh': INSTALL_OK };
const entryOf = (path: keyof typeof FILES): Buffer =>
  fileEntry(path, FILES[path], path.endsWith('.sh') ? 0o755 : 0o644);
const PARTS = [entryOf('a.txt'), entryOf('b.txt'), entryOf('install.sh')];
const good = (): Buffer => forge(manifestText(FILES), PARTS);

test('a forged tarball that equals its manifest is accepted: the other tests differ from it in one thing', async () => {
  await withUnpacked(good(), ({ contents, error, directory }) => {
    assert.equal(error, undefined);
    assert.equal(contents?.digest, sha256(manifestText(FILES)), 'its identity is the digest of the manifest');
    assert.equal(contents?.index?.manifest.name, 'app');
    assert.equal(readFileSync(join(directory, 'b.txt'), 'utf8'), 'two');
    assert.ok(existsSync(join(directory, '.gwe/manifest.json')));
    assert.ok(existsSync(join(directory, '.gwe/signatures.json')));
  });
});

test('what the packer writes is what the reader demands, with long names, links and empty files', async () => {
  const entries = {
    'install.sh': INSTALL_OK,
    empty: '',
    'd/': '',
    'd/link': { link: '../install.sh' },
    [`d/${'n'.repeat(200)}`]: 'long',
    'd/Müller': 'x'.repeat(1024),
  };
  const bytes = await makeIndexed({ name: 'app', version: '1' }, entries);
  assert.deepEqual(await makeIndexed({ name: 'app', version: '1' }, entries), bytes, 'the same bytes again');
  await withUnpacked(bytes, ({ error, contents }) => {
    assert.equal(error, undefined);
    assert.equal(contents?.index?.manifest.entries.length, 6);
  });
});

const refusals: Readonly<Record<string, [() => Buffer, RegExp]>> = {
  'an entry that the manifest does not list': [
    () => forge(manifestText(FILES), [...PARTS.slice(0, 2), fileEntry('evil', 'x'), ...PARTS.slice(2)]),
    /file 'evil', which the manifest does not list, expected file 'install.sh'/,
  ],
  'an extra entry at the end': [
    () => forge(manifestText(FILES), [...PARTS, fileEntry('z', 'x')]),
    /file 'z', which the manifest does not list, expected the end/,
  ],
  'a missing entry in the middle': [
    () => forge(manifestText(FILES), [PARTS[0] ?? Buffer.alloc(0), PARTS[2] ?? Buffer.alloc(0)]),
    /file 'install.sh', expected file 'b.txt'/,
  ],
  'a missing last entry': [
    () => forge(manifestText(FILES), PARTS.slice(0, 2)),
    /the end of the archive, expected entry 'install.sh'/,
  ],
  'entries in another order': [
    () => forge(manifestText(FILES), [...PARTS].reverse()),
    /'install.sh', expected file 'a.txt'/,
  ],
  'changed content of the same size': [
    () => forge(manifestText(FILES), [fileEntry('a.txt', 'eno'), ...PARTS.slice(1)]),
    /entry 'a.txt' with sha256 [0-9a-f]{64}, expected [0-9a-f]{64}/,
  ],
  'changed content of another size': [
    () => forge(manifestText(FILES), [fileEntry('a.txt', 'more'), ...PARTS.slice(1)]),
    /in the header or padding of 'a.txt'/,
  ],
  'another mode': [
    () => forge(manifestText(FILES), [fileEntry('a.txt', 'one', 0o755), ...PARTS.slice(1)]),
    /in the header or padding of 'a.txt'/,
  ],
  'another owner, time or header format': [
    () => forge(manifestText(FILES), [rawEntry({ name: 'a.txt' }, 'one'), ...PARTS.slice(1)]),
    /in the header or padding of 'a.txt'/,
  ],
  'a pax header in front of an entry': [
    () => forge(manifestText(FILES), [paxEntry({ comment: 'x' }), ...PARTS]),
    /in the header or padding of 'a.txt'/,
  ],
  'a global pax header': [
    () => forge(manifestText(FILES), [paxEntry({ comment: 'x' }, 'g'), ...PARTS]),
    /in the header or padding of 'a.txt'/,
  ],
  'a long name where none is needed': [
    () => forge(manifestText(FILES), [gnuLong('L', 'a.txt'), ...PARTS]),
    /in the header or padding of 'a.txt'/,
  ],
  'a directory where a file is listed': [
    () => forge(manifestText(FILES), [rawEntry({ name: 'a.txt/', type: '5' }), ...PARTS.slice(1)]),
    /directory 'a.txt', expected file 'a.txt'/,
  ],
  'bytes hidden in the padding': [
    () =>
      alter(good(), (stream) => {
        const at = stream.indexOf('two') + 3;
        return Buffer.concat([stream.subarray(0, at), Buffer.from('hidden'), stream.subarray(at + 6)]);
      }),
    /in the header or padding of 'b.txt'/,
  ],
  'zeros behind the end, which every tar ignores': [
    () => alter(good(), (stream) => Buffer.concat([stream, Buffer.alloc(512)])),
    /512 or more bytes behind the end/,
  ],
  'a byte in the last zero block': [
    () => alter(good(), (stream) => Buffer.concat([stream.subarray(0, -1), Buffer.from('x')])),
    /data behind the end of the archive/,
  ],
  'a second manifest': [
    () => forge(manifestText(FILES), [fileEntry('.gwe/manifest.json', '{}'), ...PARTS]),
    /'repeated' in a tarball with a manifest|which the manifest does not list/,
  ],
  'something else than the signatures as the second entry': [
    () => gzipTar(fileEntry('.gwe/manifest.json', manifestText(FILES)), ...PARTS),
    /file 'a.txt', expected the file \.gwe\/signatures\.json there/,
  ],
  'a manifest and nothing else': [
    () => gzipTar(fileEntry('.gwe/manifest.json', manifestText(FILES))),
    /no \.gwe\/signatures\.json/,
  ],
};

for (const [what, [tarball, message]] of Object.entries(refusals)) {
  test(`an indexed tarball with ${what} is refused`, async () => {
    await withUnpacked(tarball(), ({ error }) => {
      assert.match(String(error), message);
      assert.match(String((error as { code?: string }).code), /^ARTIFACT_(MANIFEST|FORMAT|ENTRY)$/);
    });
  });
}

test('GNU tar ignores a trailing archive, tar -i unpacks it: gwe refuses it', async () => {
  const trailing = Buffer.concat([fileEntry('evil', 'x'), Buffer.alloc(1024)]);
  const appended = alter(good(), (stream) => Buffer.concat([stream, trailing]));
  await assertRefused(appended, 'ARTIFACT_FORMAT', /data behind the end of the archive/);
  const member = Buffer.concat([good(), gzipSync(trailing)]);
  await assertRefused(member, 'ARTIFACT_FORMAT', /data behind the end of the archive/);
});

test('a stream cut anywhere is refused', async () => {
  const stream = gunzipSync(good());
  for (let at = 512; at < stream.length; at += 512) {
    await withUnpacked(gzipSync(stream.subarray(0, at)), ({ error }) => assert.ok(error, `cut at ${at}`));
  }
});

test('every single changed byte of the stream is noticed, except in signatures that nobody asked for', async () => {
  const stream = gunzipSync(good());
  for (let at = 0; at < stream.length; at += 37) {
    const changed = Buffer.from(stream);
    changed[at] = (changed[at] ?? 0) ^ 1;
    await withUnpacked(gzipSync(changed, { level: 1 }), ({ error, contents }) => {
      const isOther = contents !== undefined && contents.digest !== sha256(manifestText(FILES));
      assert.ok(error !== undefined || isOther, `byte ${at} was changed and nothing said so`);
    });
  }
});

const badManifests: Readonly<Record<string, [string | Buffer, RegExp]>> = {
  'white space': [manifestText(FILES).replace(',', ', '), /not canonical JSON/],
  'a key twice': [manifestText(FILES).replace('"format":1', '"format":1,"format":1'), /not canonical JSON/],
  'unsorted keys': ['{"version":"1","name":"app","format":1,"entries":[]}', /not canonical JSON/],
  'a number with a fraction': [manifestText(FILES, { release: 1.5 }), /expected a whole number/],
  'a negative release': [manifestText(FILES, { release: -1 }), /'release' is wrong/],
  'no JSON': ['{', /that is no JSON/],
  'bytes that are not UTF-8': [Buffer.from([0xff, 0xfe]), /not UTF-8/],
  'an unknown key': [manifestText(FILES, { allow: 'all' }), /'allow' is wrong/],
  'a newer format': [manifestText(FILES, { format: 2 }), /format 2, expected format 1; a newer gwe/],
  'no format': ['{"name":"app"}', /without a format/],
  'a list instead of an object': ['[]', /without a format/],
  'JSON nested without end': [`${'['.repeat(5000)}${']'.repeat(5000)}`, /levels deep/],
  'an app name that is a path': [manifestText(FILES, { name: '../x' }), /'name' is wrong/],
  'an absolute entry': [manifestText({ '/etc/passwd': 'x' }), /an absolute name/],
  "an entry with '..'": [manifestText({ 'a/../../b': 'x' }), /'\.\.' in the name/],
  'a name in a roundabout form': [manifestText({ './a': 'x' }), /not in its shortest form/],
  'an entry below .gwe/': [manifestText({ '.gwe/evil': 'x' }), /the reserved directory/],
  'a setuid mode': [manifestText(FILES).replace('"0644"', '"4755"'), /mode' is wrong/],
};

for (const [what, [manifest, message]] of Object.entries(badManifests)) {
  test(`a manifest with ${what} is refused`, () =>
    withUnpacked(forge(manifest, PARTS), ({ error }) => assert.match(String(error), message)));
}

test('a manifest over the limit is refused by its header, before its bytes are kept', () =>
  assertRefused(good(), 'ARTIFACT_LIMIT', /entry '\.gwe\/manifest\.json': \d+ bytes/, {
    ...DEFAULT_LIMITS,
    manifestBytes: 100,
  }));

test('.gwe/ in a tarball without a manifest at its head is refused: it would look like one on the disk', async () => {
  const late = { 'install.sh': INSTALL_OK, '.gwe/manifest.json': manifestText(FILES) };
  await assertRefused(makeTarball(late), 'ARTIFACT_ENTRY', /the reserved directory \.gwe\//);
  const prefixed = { 'app/install.sh': INSTALL_OK, 'app/.gwe/manifest.json': '{}' };
  await assertRefused(makeTarball(prefixed), 'ARTIFACT_ENTRY', /the reserved directory \.gwe\//);
  const behindRoot = { './': '', '.gwe/manifest.json': '{}' };
  await assertRefused(makeTarball(behindRoot), 'ARTIFACT_ENTRY', /the reserved directory \.gwe\//);
});

test('headers without end in front of the manifest or the signatures are not kept in memory', async () => {
  const limits = { ...DEFAULT_LIMITS, manifestBytes: 64 * 1024, metaEntryBytes: 64 * 1024 };
  const comments = Array.from({ length: 20 }, () => paxEntry({ comment: 'x'.repeat(60_000) }, 'g'));
  const manifest = fileEntry('.gwe/manifest.json', manifestText(FILES));
  const signatures = fileEntry('.gwe/signatures.json', '{"format":1,"signatures":[]}');
  const between = gzipTar(manifest, ...comments, signatures, ...PARTS);
  await assertRefused(between, 'ARTIFACT_MANIFEST', /more than \d+ bytes in front of/, limits);
  const before = gzipTar(...comments, manifest, signatures, ...PARTS);
  await assertRefused(before, 'ARTIFACT_MANIFEST', /bytes in front of \.gwe\/manifest\.json/, limits);
  const aligned = [...comments, paxEntry({ comment: 'x'.repeat(32_768 - 2048) }, 'g')];
  const filler = 32_768 - (Buffer.concat(aligned).length % 32_768);
  const fill = paxEntry({ comment: 'x'.repeat(filler - 512 - 100) }, 'g');
  assert.equal(
    Buffer.concat([...aligned, fill]).length % 32_768,
    0,
    'the manifest begins a chunk of its own',
  );
  const hidden = gzipTar(...aligned, fill, manifest, signatures, ...PARTS);
  await assertRefused(hidden, 'ARTIFACT_MANIFEST', /bytes in front of \.gwe\/manifest\.json/, limits);
  await withUnpacked(gzipTar(...comments, ...PARTS), ({ error }) => assert.equal(error, undefined), limits);
});
