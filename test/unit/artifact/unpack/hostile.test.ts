/** Archives that no honest tool writes, byte by byte (what each tries to do is its name). */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { assertRefused, withUnpacked } from '../../../helpers/artifact.ts';
import { END_BLOCKS, gnuLong, gzipTar, paxEntry, rawEntry, rawHeader } from '../../../helpers/tar-bytes.ts';
import { INSTALL_OK, makeTarball } from '../../../helpers/tarball.ts';

const install = rawEntry({ name: 'install.sh', mode: 0o755 }, INSTALL_OK);
const refuse = (parts: Buffer[], message: RegExp, code = 'ARTIFACT_ENTRY'): Promise<void> =>
  assertRefused(gzipTar(install, ...parts), code, message);

for (const name of ['/etc/passwd', '../evil', 'a/../../evil', 'a/..', '..', './../evil', '//evil']) {
  const quoted = new RegExp(`'${name.replace(/\./g, '\\.')}'`);
  test(`a header that names '${name}' is refused`, () => refuse([rawEntry({ name }, 'x')], quoted));
  test(`a pax header that names '${name}' is refused`, () =>
    refuse([paxEntry({ path: name }), rawEntry({ name: 'innocent' }, 'x')], quoted));
  test(`a GNU long name '${name}' is refused`, () =>
    refuse([gnuLong('L', name), rawEntry({ name: 'innocent' }, 'x')], quoted));
}

test("a ustar prefix that makes the name '../evil' is refused", () =>
  refuse([rawEntry({ name: 'evil', prefix: '..' }, 'x')], /'\.\.\/evil'/));

test('writing through a symlink is refused, even one that stays inside', () =>
  refuse(
    [
      rawEntry({ name: 'd', type: '5', mode: 0o755 }),
      rawEntry({ name: 'l', type: '2', link: 'd' }),
      rawEntry({ name: 'l/evil' }, 'x'),
    ],
    /'l\/evil': a path through the symlink 'l'/,
  ));

test('a file in the place of a symlink is not written through it', () =>
  withUnpacked(
    gzipTar(install, rawEntry({ name: 'l', type: '2', link: 'install.sh' }), rawEntry({ name: 'l' }, 'x')),
    ({ error, directory }) => {
      assert.equal(error, undefined);
      assert.equal(readFileSync(join(directory, 'install.sh'), 'utf8'), INSTALL_OK);
    },
  ));

test('replacing a directory by a symlink is refused', () =>
  refuse(
    [rawEntry({ name: 'd/a' }, 'x'), rawEntry({ name: 'd', type: '2', link: 'e' })],
    /'d': a symlink where there already is a directory/,
  ));

for (const target of ['/', '/etc/shadow', '/dev/null', '..', '../x', 'a/../../x', './..', '../..']) {
  test(`a symlink to '${target}' is refused`, () =>
    refuse([rawEntry({ name: 'l', type: '2', link: target })], /entry 'l': a link to/));
}

test('symlinks that only together lead out of the root are refused', () =>
  refuse(
    [
      rawEntry({ name: 'd/here', type: '2', link: '.' }),
      rawEntry({ name: 'l', type: '2', link: 'd/here/../..' }),
    ],
    /entry 'l': a link to 'd\/here\/..\/..' with '..' behind a name/,
  ));

test('a pax linkpath that leads out is refused', () =>
  refuse([paxEntry({ linkpath: '../x' }), rawEntry({ name: 'l', type: '2', link: 'd' })], /entry 'l'/));

test('a GNU long link that leads out is refused', () =>
  refuse([gnuLong('K', '/etc/shadow'), rawEntry({ name: 'l', type: '2', link: 'd' })], /entry 'l'/));

for (const link of ['/etc/passwd', '../../file', 'later', 'd']) {
  test(`a hard link to '${link}', which is no file unpacked before, is refused`, () =>
    refuse(
      [
        rawEntry({ name: 'd', type: '5' }),
        rawEntry({ name: 'h', type: '1', link }),
        rawEntry({ name: 'later' }, 'x'),
      ],
      new RegExp(`'${link}'`),
    ));
}

test('a hard link to itself, with no such file before it, is refused', () =>
  refuse([rawEntry({ name: 'h', type: '1', link: 'h' })], /'h': a hard link to 'h'/));

test('a hard link with content is refused', () =>
  refuse([rawEntry({ name: 'h', type: '1', link: 'install.sh' }, 'x')], /'h': a hardlink with 1 bytes/));

test('pax size against header size is refused: readers would see different entries', () => {
  const smuggled = rawEntry({ name: 'evil' }, 'x');
  return refuse(
    [paxEntry({ size: '0' }), rawEntry({ name: 'f' }, smuggled)],
    /'f': size 1024 in its header and 0 in its pax header/,
  );
});

for (const size of ['-1', '1e3', '0x10', '', ' 5', '99999999999999999999']) {
  test(`pax size '${size}' is refused`, () =>
    refuse([paxEntry({ size }), rawEntry({ name: 'f' }, 'hello')], /pax size/));
}

test('a negative base-256 size is refused', () =>
  refuse([rawHeader({ name: 'f', size: Buffer.alloc(12, 0xff) })], /'f': a negative size/));

test('a base-256 size beyond all limits is refused before anything is allocated', () => {
  const size = Buffer.alloc(12);
  size[0] = 0x80;
  size[5] = 0x10;
  return refuse([rawHeader({ name: 'f', size })], /'f': its 17592186044416\d* bytes|'f'/, 'ARTIFACT_LIMIT');
});

test('a base-256 size that no number holds is refused', () => {
  const size = Buffer.alloc(12, 0xfe);
  size[0] = 0x80;
  return refuse([rawHeader({ name: 'f', size })], /'f': a size that is no number/);
});

test('a base-256 size that is honest is read', () => {
  const size = Buffer.alloc(12);
  size[0] = 0x80;
  size[11] = 2;
  return withUnpacked(gzipTar(rawEntry({ name: 'f', size }, 'ab')), ({ error, directory }) => {
    assert.equal(error, undefined);
    assert.equal(readFileSync(join(directory, 'f'), 'utf8'), 'ab');
  });
});

for (const size of ['0000000000x\0', '-0000000001\0', '            ', '00000 00001\0']) {
  test(`the size field ${JSON.stringify(size)} is refused`, () =>
    refuse([rawHeader({ name: 'f', size: Buffer.from(size) })], /'f': a size that is no number/));
}

test('an old GNU sparse file is refused', () =>
  refuse([rawEntry({ name: 'f', type: 'S', magic: 'ustar  \0' }, 'x')], /'f': a sparse file/));

test('a pax sparse file is refused', () =>
  refuse(
    [paxEntry({ 'GNU.sparse.major': '1', 'GNU.sparse.name': '../evil' }), rawEntry({ name: 'f' }, 'x')],
    /a sparse file/,
  ));

test('a file and a directory of one name are refused', () =>
  refuse([rawEntry({ name: 'a' }, '1'), rawEntry({ name: 'a/', type: '5' })], /'a': a directory where/));

test('a file below a file is refused', () =>
  refuse(
    [rawEntry({ name: 'a' }, '1'), rawEntry({ name: 'a/b' }, '2')],
    /'a\/b': a path through the file 'a'/,
  ));

test('names that differ in case are two files', () =>
  withUnpacked(makeTarball({ README: 'upper', readme: 'lower' }), ({ error, directory }) => {
    assert.equal(error, undefined);
    assert.deepEqual(readdirSync(directory).sort(), ['README', 'readme']);
  }));

for (const [what, mode] of [
  ['setuid', 0o4755],
  ['setgid', 0o2755],
  ['sticky', 0o1755],
] as const) {
  test(`the ${what} bit of a directory is dropped`, () =>
    withUnpacked(gzipTar(rawEntry({ name: 'd', type: '5', mode })), ({ error, directory }) => {
      assert.equal(error, undefined);
      assert.equal(lstatSync(join(directory, 'd')).mode & 0o7777, 0o755);
    }));
}

for (const [what, type] of [
  ['character device', '3'],
  ['block device', '4'],
  ['FIFO', '6'],
  ['multi-volume', 'M'],
  ['unknown', 'Z'],
] as const) {
  test(`an entry of type ${type} (${what}) is refused`, () =>
    refuse([rawEntry({ name: 'dev/x', type })], /'dev\/x'/));
}

test('a newline in a name is refused', () =>
  refuse([rawEntry({ name: 'a\nb' }, 'x')], /'a\\nb': a control character/));
test('an escape sequence in a name is refused and not shown raw', () =>
  refuse([rawEntry({ name: '\x1b[2J' }, 'x')], /'\\u001b\[2J'/));
test('a NUL in a pax name is refused', () =>
  refuse([paxEntry({ path: 'a\0b' }), rawEntry({ name: 'a' }, 'x')], /'a\\u0000b'/));
test('a NUL in a GNU long name is refused', () =>
  refuse([gnuLong('L', 'a\0b'), rawEntry({ name: 'a' }, 'x')], /a NUL/));
test('what stands behind a NUL in a header name is no part of it', () =>
  withUnpacked(gzipTar(rawEntry({ name: 'a\0\nb' }, 'x')), ({ error, directory }) => {
    assert.equal(error, undefined);
    assert.deepEqual(readdirSync(directory), ['a']);
  }));
test('a name in no encoding that can be known is refused', () =>
  refuse([rawEntry({ name: Buffer.from([0x61, 0x81]) }, 'x')], /'a\?': a name that is neither UTF-8 nor/));
test('a pax name of bytes that lenient decoders take for a slash has none', () =>
  withUnpacked(
    gzipTar(paxEntry({ path: Buffer.from('..\xc0\xafevil', 'latin1') }), rawEntry({ name: 'a' }, 'x')),
    ({ error, directory }) => {
      assert.equal(error, undefined);
      assert.deepEqual(readdirSync(directory), ['..À¯evil']);
    },
  ));
test('an empty name is refused', () => refuse([rawEntry({ name: '' }, 'x')], /empty name/));
test('a file named like the root is refused', () => refuse([rawEntry({ name: '.' }, 'x')], /'\.'/));

test('a wrong checksum is refused', () =>
  refuse([rawEntry({ name: 'f', checksumError: 1 }, 'x')], /byte 1024 .*checksum/, 'ARTIFACT_FORMAT'));

test('data behind the end blocks is refused', () =>
  assertRefused(
    gzipTar(install, END_BLOCKS, rawEntry({ name: 'evil' }, 'x')),
    'ARTIFACT_FORMAT',
    /behind the end/,
  ));

test('a single zero block in the middle is refused', () =>
  refuse([Buffer.alloc(512), rawEntry({ name: 'evil' }, 'x')], /behind the end/, 'ARTIFACT_FORMAT'));

test('two archives one behind the other in two gzip members are refused', () => {
  const second = gzipTar(rawEntry({ name: 'evil' }, 'x'));
  return assertRefused(Buffer.concat([gzipTar(install), second]), 'ARTIFACT_FORMAT', /behind the end/);
});

test('one archive in many gzip members is read as one', async () => {
  const tar = Buffer.concat([install, rawEntry({ name: 'f' }, 'content'), END_BLOCKS]);
  const members = Array.from({ length: Math.ceil(tar.length / 100) }, (_, i) =>
    gzipSync(tar.subarray(i * 100, i * 100 + 100)),
  );
  await withUnpacked(Buffer.concat(members), ({ error, directory }) => {
    assert.equal(error, undefined);
    assert.equal(readFileSync(join(directory, 'f'), 'utf8'), 'content');
  });
});

for (const [what, bytes] of [
  ['text', Buffer.from('#!/bin/sh\nrm -rf /\n')],
  ['a lone magic', Buffer.from([0x1f, 0x8b])],
  ['a long way of zeros and another member', Buffer.concat([Buffer.alloc(300_000), gzipTar(install)])],
] as const) {
  test(`${what} behind the gzip data is refused`, () =>
    assertRefused(Buffer.concat([gzipTar(install), bytes]), 'ARTIFACT_FORMAT', /behind the end|gzip data/));
}

test('a member that ends in the middle of the tar header is refused', () =>
  assertRefused(
    gzipSync(install.subarray(0, 700)),
    'ARTIFACT_FORMAT',
    /in the middle of entry 'install\.sh'/,
  ));

test('a tarball cut inside an entry is refused, and one cut between two is reported as incomplete', async () => {
  const tar = Buffer.concat([
    install,
    rawEntry({ name: 'd', type: '5' }),
    rawEntry({ name: 'd/f' }, 'y'.repeat(1500)),
    END_BLOCKS,
  ]);
  const between = new Set([1024, 1536, 3584, 3684]);
  for (let length = 0; length < 4096; length += 512) {
    for (const cut of [length, length + 100]) {
      const tarball = gzipSync(tar.subarray(0, cut));
      if (!between.has(cut)) await assertRefused(tarball, 'ARTIFACT_FORMAT', /cut off/);
      else
        await withUnpacked(tarball, ({ contents }) =>
          assert.deepEqual(
            contents?.adjustments.map(({ kind }) => kind),
            ['no-end'],
          ),
        );
    }
  }
});

test('a gzip file cut at any byte is refused', async () => {
  const whole = makeTarball({ 'install.sh': INSTALL_OK, f: 'content' });
  for (let length = 0; length < whole.length; length += 7) {
    await assertRefused(whole.subarray(0, length), 'ARTIFACT_FORMAT', /cut off|empty/);
  }
});

test('a flipped bit in the gzip data is refused', async () => {
  const bytes = Buffer.from(makeTarball({ 'install.sh': INSTALL_OK }));
  bytes[bytes.length - 6] = (bytes[bytes.length - 6] ?? 0) ^ 1;
  await assertRefused(bytes, 'ARTIFACT_FORMAT', /incorrect data check|gzip/);
});

test('a file that is not gzip is refused', () =>
  assertRefused(Buffer.from('<html>not found</html>'), 'ARTIFACT_FORMAT', /no gzip data/));

for (const records of [{ path: 'x' }, { size: '5' }, { linkpath: '/etc' }, { 'GNU.sparse.name': 'x' }]) {
  test(`a global pax header that sets ${Object.keys(records)} is refused`, () =>
    refuse([paxEntry(records, 'g'), rawEntry({ name: 'f' }, 'hello')], /global pax header|sparse/));
}

test('a global pax header with a comment, as git writes it, is read', () =>
  withUnpacked(gzipTar(paxEntry({ comment: 'c0ffee' }, 'g'), install), ({ error }) =>
    assert.equal(error, undefined),
  ));

test('malformed pax records are refused', async () => {
  for (const body of [
    'x',
    '5 a=b',
    '0 a=b\n',
    '99 path=a\n',
    '8 path=a\n',
    '010 path=a\n',
    '10 path=a\nrest',
    '6 =ab\n',
    '7 path\n',
  ]) {
    await refuse(
      [rawEntry({ name: 'PaxHeader', type: 'x' }, body), rawEntry({ name: 'f' }, 'x')],
      /malformed pax record/,
    );
  }
});

test('a pax key twice is refused', () =>
  refuse([rawEntry({ name: 'P', type: 'x' }, '10 path=a\n10 path=b\n'), rawEntry({ name: 'f' })], /twice/));

test('a pax name and a GNU long name for one entry are refused', () =>
  refuse(
    [paxEntry({ path: 'a' }), gnuLong('L', 'b'), rawEntry({ name: 'f' }, 'x')],
    /two extension headers/,
    'ARTIFACT_FORMAT',
  ));

test('an extension header with no entry behind it is refused', () =>
  refuse([paxEntry({ path: 'a' })], /no entry behind/, 'ARTIFACT_FORMAT'));

test('an extension header larger than the limit is refused before it is read', () =>
  refuse(
    [rawHeader({ name: 'P', type: 'x', size: 2 ** 30 })],
    /'P': an extension header of 1073741824 bytes/,
    'ARTIFACT_LIMIT',
  ));

test('a directory with content is refused', () =>
  refuse([rawEntry({ name: 'd', type: '5' }, 'hidden')], /'d': a directory with 6 bytes/));

test('a path too long, a name too long and a path too deep are refused', async () => {
  const named = (path: string): Buffer[] => [paxEntry({ path }), rawEntry({ name: 'f' }, 'x')];
  await refuse(named(`${`${'a'.repeat(200)}/`.repeat(6)}f`), /a path of \d+ bytes/, 'ARTIFACT_LIMIT');
  await refuse(named('a'.repeat(256)), /a name of 256 bytes/, 'ARTIFACT_LIMIT');
  await refuse(named(`${'a/'.repeat(70)}f`), /71 names deep/, 'ARTIFACT_LIMIT');
});

test('a million empty entries stop at the limit', async () => {
  const entries = Array.from({ length: 3000 }, (_, i) => rawEntry({ name: `f${i}` }));
  const limits = { ...DEFAULT_LIMITS, entries: 1000 };
  await assertRefused(gzipTar(...entries), 'ARTIFACT_LIMIT', /more than 1000 entries/, limits);
});

test('entries whose names together would fill the memory are refused', async () => {
  const entries = Array.from({ length: 50 }, (_, i) => rawEntry({ name: `${i}/${'n'.repeat(80)}` }));
  const limits = { ...DEFAULT_LIMITS, allPathsBytes: 1000 };
  await assertRefused(gzipTar(...entries), 'ARTIFACT_LIMIT', /all paths together/, limits);
});

test('a decompression bomb stops early', async () => {
  const bomb = gzipTar(install, rawEntry({ name: 'zeros' }, Buffer.alloc(20_000_000)));
  const limits = { ...DEFAULT_LIMITS, ratioFloorBytes: 1_000_000, ratio: 10 };
  await withUnpacked(
    bomb,
    ({ error, directory }) => {
      assert.match(String(error), /unpack to more than 1000000/);
      assert.ok(lstatSync(join(directory, 'zeros')).size <= 1_000_000);
    },
    limits,
  );
});

test('a file larger than what is left of the limit is refused before it is created', async () => {
  const tarball = gzipTar(install, rawEntry({ name: 'big' }, Buffer.alloc(300_000)));
  const limits = { ...DEFAULT_LIMITS, unpackedBytes: 250_000 };
  await withUnpacked(
    tarball,
    ({ error, directory }) => {
      assert.match(String(error), /entry 'big'/);
      assert.equal(existsSync(join(directory, 'big')), false);
    },
    limits,
  );
});

test('a tarball larger than the limit is refused unread', () =>
  assertRefused(gzipTar(install), 'ARTIFACT_LIMIT', /expected at most 10/, {
    ...DEFAULT_LIMITS,
    compressedBytes: 10,
  }));

test('a pax name stands for the whole name: the ustar prefix is not put in front of it', () =>
  withUnpacked(
    gzipTar(paxEntry({ path: 'wanted' }), rawEntry({ name: 'short', prefix: 'prefix' }, 'x')),
    ({ error, directory }) => {
      assert.equal(error, undefined);
      assert.deepEqual(readdirSync(directory), ['wanted']);
    },
  ));

test('a name that makes a directory for one reader and a file for another is refused', async () => {
  const old = { name: 'd/', type: '\0', magic: '\0'.repeat(8) };
  await assertRefused(gzipTar(rawEntry({ name: 'd/', type: '0' })), 'ARTIFACT_ENTRY', /'d\/'.*directory/);
  await assertRefused(
    gzipTar(paxEntry({ path: 'd/' }), rawEntry({ ...old, name: 'x' })),
    'ARTIFACT_ENTRY',
    /'d\/'/,
  );
  await assertRefused(gzipTar(paxEntry({ path: 'f' }), rawEntry(old)), 'ARTIFACT_ENTRY', /'f'.*another name/);
  await withUnpacked(gzipTar(rawEntry(old)), ({ error }) => assert.equal(error, undefined));
});
