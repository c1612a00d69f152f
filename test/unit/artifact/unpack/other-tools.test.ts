/** Tarballs as other tools write them: each row of src/artifact/README.md, by what becomes of it. */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { describeAdjustment } from '../../../../src/artifact/tar/adjustments.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { withUnpacked } from '../../../helpers/artifact.ts';
import {
  END_BLOCKS,
  gnuLong,
  gzipTar,
  paxEntry,
  paxRecord,
  rawEntry,
  rawHeader,
} from '../../../helpers/tar-bytes.ts';
import { INSTALL_OK } from '../../../helpers/tarball.ts';

const README = readFileSync(join(import.meta.dirname, '../../../../src/artifact/README.md'), 'utf8');
const SECTION = README.split('\n## ').find((section) => section.startsWith('What a tarball may hold')) ?? '';
const install = rawEntry({ name: 'install.sh', mode: 0o755 }, INSTALL_OK);
const file = (name: string | Buffer, content = 'x'): Buffer => rawEntry({ name }, content);
const link = (name: string, target: string): Buffer => rawEntry({ name, type: '2', link: target });
const hard = (name: string, target: string): Buffer => rawEntry({ name, type: '1', link: target });
const base256 = (value: number): Buffer => {
  const field = Buffer.alloc(12);
  field.writeBigUInt64BE(BigInt(value), 4);
  field[0] = 0x80;
  return field;
};
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

interface Case {
  what: string;
  tarball: Buffer;
  /** How the message names what is refused; `read` for what is not. */
  refused?: string;
  /** What the note begins with. */
  note?: string;
  /** Looks at what came of it. */
  look?(directory: string, rootPrefix: string): void;
}

const content = (path: string, expected: string) => (directory: string) =>
  assert.equal(readFileSync(join(directory, path), 'utf8'), expected);
const mtime = (path: string, expectedS: number) => (directory: string) =>
  assert.equal(lstatSync(join(directory, path)).mtimeMs / 1000, expectedS);
const isLink = (path: string, target: string) => (directory: string) =>
  assert.equal(readlinkSync(join(directory, path)), target);
const top = (expected: string) => (_: string, rootPrefix: string) => assert.equal(rootPrefix, expected);

const inApp = rawEntry({ name: 'app/install.sh', mode: 0o755 }, INSTALL_OK);
const LATEST_S = 15_032_385_535;

/** By the first cell of the row. */
const CASES: Readonly<Record<string, readonly Case[]>> = {
  '`._*`, `.DS_Store`, `__MACOSX/` beside the only top-level directory': [
    ...[file('._app'), file('.DS_Store'), file('__MACOSX/app/._install.sh')].flatMap((litter) => [
      { what: 'in front', tarball: gzipTar(litter, inApp), note: `'`, look: top('app') },
      { what: 'behind', tarball: gzipTar(inApp, litter), note: `'`, look: top('app') },
    ]),
    {
      what: 'in a flat tarball',
      tarball: gzipTar(install, file('._install.sh')),
      look: content('._install.sh', 'x'),
    },
    {
      what: 'a directory of such a name is one',
      tarball: gzipTar(install, file('._d/f')),
      look: content('._d/f', 'x'),
    },
  ],
  'a symlink to an absolute path': [
    {
      what: 'to a file of the system',
      tarball: gzipTar(install, link('venv/bin/python3', '/bin/sh')),
      note: "'venv/bin/python3' is a link to a file of the system",
      look: isLink('venv/bin/python3', '/bin/sh'),
    },
    { what: 'that is not there', tarball: gzipTar(install, link('l', '/nowhere/at/all')), refused: "'l'" },
    { what: 'to a directory', tarball: gzipTar(install, link('l', '/etc')), refused: "'l'" },
    { what: 'to a secret', tarball: gzipTar(install, link('l', '/etc/shadow')), refused: "'l'" },
    { what: 'to a device', tarball: gzipTar(install, link('l', '/dev/null')), refused: "'l'" },
  ],
  'a relative symlink that leads out of the artifact': [
    {
      what: 'by its first step',
      tarball: gzipTar(install, link('lib/a.so', '../../shared/a.so')),
      refused: "'lib/a.so'",
    },
    { what: 'by way of a name', tarball: gzipTar(install, link('l', 'a/../../b')), refused: "'l'" },
  ],
  'a symlink with `..` behind a name': [
    {
      what: 'that is a directory',
      tarball: gzipTar(install, link('l', 'x/../install.sh'), file('x/y')),
      look: isLink('l', 'x/../install.sh'),
    },
    {
      what: 'that is a link',
      tarball: gzipTar(install, link('x', '.'), link('l', 'x/../f')),
      refused: "'l'",
    },
    { what: 'that is not there', tarball: gzipTar(install, link('l', 'x/../f')), refused: "'l'" },
    {
      what: 'that was replaced by another before the end',
      tarball: gzipTar(install, link('l', 'x/../f'), link('l', 'install.sh')),
      note: "'l'",
      look: isLink('l', 'install.sh'),
    },
  ],
  'zeros behind the gzip data (tapes, `dd conv=sync`)': [
    { what: 'a block', tarball: Buffer.concat([gzipTar(install), Buffer.alloc(512)]) },
    { what: 'one', tarball: Buffer.concat([gzipTar(install), Buffer.alloc(1)]) },
    { what: 'many', tarball: Buffer.concat([gzipTar(install), Buffer.alloc(300_000)]) },
  ],
  'other bytes behind the gzip data': [
    { what: 'text', tarball: Buffer.concat([gzipTar(install), Buffer.from('text')]), refused: '' },
    {
      what: 'behind zeros',
      tarball: Buffer.concat([gzipTar(install), Buffer.alloc(300_000), gzipTar(install)]),
      refused: '300000|bytes behind',
    },
  ],
  'one zero block at the end, or many, or half of one': [
    { what: 'one', tarball: gzipSync(Buffer.concat([install, Buffer.alloc(512)])) },
    { what: 'many', tarball: gzipSync(Buffer.concat([install, Buffer.alloc(512 * 200)])) },
    { what: 'one and a half', tarball: gzipSync(Buffer.concat([install, Buffer.alloc(512 + 200)])) },
    { what: 'many and a part of one', tarball: gzipSync(Buffer.concat([install, Buffer.alloc(100_000)])) },
  ],
  'no zero block at the end': [
    { what: 'behind a file', tarball: gzipSync(install), note: "'install.sh' is the last entry" },
    {
      what: 'behind a link',
      tarball: gzipSync(Buffer.concat([install, link('l', 'install.sh')])),
      note: "'l'",
    },
  ],
  'files behind the end of the archive (`cat a.tar b.tar`)': [
    { what: 'two archives', tarball: gzipTar(install, END_BLOCKS, file('f')), refused: 'at byte' },
    {
      what: 'garbage',
      tarball: gzipSync(Buffer.concat([install, END_BLOCKS, Buffer.alloc(512, 'g')])),
      refused: '',
    },
  ],
  'a time before 1970 or after 2446, or none': [
    {
      what: '2^50',
      tarball: gzipTar(install, rawEntry({ name: 'f', mtime: base256(2 ** 50) }, 'x')),
      look: mtime('f', LATEST_S),
    },
    {
      what: '2^50 of a directory',
      tarball: gzipTar(install, rawEntry({ name: 'd', type: '5', mode: 0o755, mtime: base256(2 ** 50) })),
      look: mtime('d', LATEST_S),
    },
    {
      what: '1e18 in pax',
      tarball: gzipTar(install, paxEntry({ mtime: '1e18' }), file('f')),
      look: mtime('f', LATEST_S),
    },
    {
      what: '-1.5 in pax',
      tarball: gzipTar(install, paxEntry({ mtime: '-1.5' }), file('f')),
      look: mtime('f', 0),
    },
    {
      what: 'words in pax',
      tarball: gzipTar(install, paxEntry({ mtime: 'now' }), file('f')),
      look: mtime('f', 0),
    },
    {
      what: 'in 1969',
      tarball: gzipTar(install, rawEntry({ name: 'f', mtime: Buffer.alloc(12, 0xff) }, 'x')),
      look: mtime('f', 0),
    },
    {
      what: 'blank',
      tarball: gzipTar(install, rawEntry({ name: 'f', mtime: Buffer.alloc(12, 0x20) }, 'x')),
      look: mtime('f', 0),
    },
  ],
  'a path twice (`tar rf`, `tar uf`)': [
    {
      what: 'a file',
      tarball: gzipTar(install, file('f', 'old'), file('./f', 'new')),
      note: "'f' is in",
      look: content('f', 'new'),
    },
    {
      what: 'install.sh',
      tarball: gzipTar(rawEntry({ name: 'install.sh' }, 'x'), install),
      note: "'install.sh'",
      look: content('install.sh', INSTALL_OK),
    },
    {
      what: 'a link',
      tarball: gzipTar(install, link('l', 'a'), link('l', 'b')),
      note: "'l'",
      look: isLink('l', 'b'),
    },
    {
      what: 'a link that becomes a file: what it led to stays as it was',
      tarball: gzipTar(install, link('l', 'install.sh'), file('l', 'new')),
      note: "'l'",
      look: (directory) => {
        content('install.sh', INSTALL_OK)(directory);
        content('l', 'new')(directory);
        assert.ok(lstatSync(join(directory, 'l')).isFile());
      },
    },
    {
      what: 'a file with a second name: that one keeps what it had',
      tarball: gzipTar(install, file('a', 'old'), hard('b', 'a'), file('a', 'new')),
      note: "'a'",
      look: (directory) => {
        content('a', 'new')(directory);
        content('b', 'old')(directory);
      },
    },
    {
      what: 'a directory: that is usual',
      tarball: gzipTar(install, file('d/f'), rawEntry({ name: 'd', type: '5', mode: 0o755 })),
    },
  ],
  'a path that is a directory and something else too': [
    {
      what: 'file, then directory',
      tarball: gzipTar(install, file('a'), rawEntry({ name: 'a/', type: '5' })),
      refused: "'a'",
    },
    { what: 'directory, then link', tarball: gzipTar(install, file('d/a'), link('d', 'e')), refused: "'d'" },
    {
      what: 'link, then directory',
      tarball: gzipTar(install, link('d', 'e'), rawEntry({ name: 'd', type: '5' })),
      refused: "'d'",
    },
  ],
  'a path below a link or a file': [
    { what: 'a link', tarball: gzipTar(install, link('l', '.'), file('l/f')), refused: "'l/f'" },
    {
      what: 'a link to the system',
      tarball: gzipTar(install, link('l', '/bin/sh'), file('l/f')),
      refused: "'l/f'",
    },
    { what: 'a file', tarball: gzipTar(install, file('a'), file('a/f')), refused: "'a/f'" },
  ],
  'a file packed twice in one run (a hard link to itself), a second name of a symlink': [
    { what: 'a file', tarball: gzipTar(install, hard('install.sh', 'install.sh')) },
    {
      what: 'a symlink',
      tarball: gzipTar(install, link('l', 'install.sh'), hard('l', 'l')),
      look: isLink('l', 'install.sh'),
    },
    {
      what: 'another name',
      tarball: gzipTar(install, link('l', 'install.sh'), hard('k', 'l')),
      look: isLink('k', 'install.sh'),
    },
  ],
  'a hard link to what comes later, or is not there': [
    { what: 'later', tarball: gzipTar(install, hard('b', 'a'), file('a')), refused: "'b'" },
    { what: 'never', tarball: gzipTar(install, hard('b', 'a')), refused: "'b'" },
    { what: 'a directory', tarball: gzipTar(install, file('d/f'), hard('b', 'd')), refused: "'b'" },
  ],
  'a hard link or directory with content': [
    {
      what: 'a hard link',
      tarball: gzipTar(install, rawEntry({ name: 'h', type: '1', link: 'install.sh' }, 'x')),
      refused: "'h'",
    },
    {
      what: 'a directory',
      tarball: gzipTar(install, rawEntry({ name: 'd', type: '5' }, 'x')),
      refused: "'d'",
    },
  ],
  'a name in Latin-1': [
    {
      what: 'of a file',
      tarball: gzipTar(install, file(latin1('Größe.txt'))),
      note: "'Größe.txt' is not UTF-8",
      look: content('Größe.txt', 'x'),
    },
    {
      what: 'in pax, said so twice',
      tarball: gzipTar(
        install,
        rawEntry(
          { name: 'P', type: 'x' },
          Buffer.concat([
            paxRecord('hdrcharset', 'BINARY'),
            paxRecord('hdrcharset', 'BINARY'),
            paxRecord('path', latin1('Größe.txt')),
          ]),
        ),
        file('f'),
      ),
      note: "'Größe.txt'",
      look: content('Größe.txt', 'x'),
    },
    {
      what: 'of a link and what it leads to',
      tarball: gzipTar(install, rawEntry({ name: latin1('ü'), type: '2', link: latin1('ö') })),
      note: "'ü' and 1 more",
      look: isLink('ü', 'ö'),
    },
    {
      what: 'with a prefix',
      tarball: gzipTar(install, rawEntry({ name: latin1('ü'), prefix: 'p' }, 'x')),
      note: "'ü'",
      look: content('p/ü', 'x'),
    },
  ],
  'a name in another encoding': [
    { what: 'CP437', tarball: gzipTar(install, file(Buffer.from([0x47, 0x81]))), refused: "'G" },
  ],
  'a control character in a name': [
    { what: 'a newline', tarball: gzipTar(install, file('a\nb')), refused: "'a\\\\nb'" },
    { what: 'of C1, in UTF-8', tarball: gzipTar(install, file('a\u009bb')), refused: "'a" },
  ],
  'a name that begins with `/`': [
    { what: 'a file', tarball: gzipTar(install, file('/opt/f')), refused: "'/opt/f'" },
  ],
  'a name with `..` in it': [
    { what: 'outside', tarball: gzipTar(install, file('../f')), refused: "'../f'" },
    { what: 'inside', tarball: gzipTar(install, file('a/../f')), refused: "'a/../f'" },
  ],
  'setuid, setgid and sticky bits': [
    ...[0o4755, 0o2755, 0o1755].map((mode) => ({
      what: `of a file, ${mode.toString(8)}`,
      tarball: gzipTar(install, rawEntry({ name: 'ping', mode }, 'x')),
      note: "'ping' came with a setuid",
      look: (directory: string) => assert.equal(lstatSync(join(directory, 'ping')).mode & 0o7777, 0o755),
    })),
    {
      what: 'of a directory',
      tarball: gzipTar(install, rawEntry({ name: 'd', type: '5', mode: 0o3777 & ~0o022 })),
      look: (directory) => assert.equal(lstatSync(join(directory, 'd')).mode & 0o7777, 0o755),
    },
  ],
  'bits that let others write': [
    {
      what: 'of a file',
      tarball: gzipTar(install, rawEntry({ name: 'f', mode: 0o666 }, 'x')),
      note: "'f' came writable",
      look: (directory) => assert.equal(lstatSync(join(directory, 'f')).mode & 0o7777, 0o644),
    },
  ],
  'a sparse file': [
    {
      what: 'of GNU',
      tarball: gzipTar(install, rawEntry({ name: 'f', type: 'S', magic: 'ustar  \0' }, 'x')),
      refused: "'f'",
    },
    {
      what: 'of pax',
      tarball: gzipTar(install, paxEntry({ 'GNU.sparse.major': '1' }), file('f')),
      refused: '',
    },
    {
      what: 'of Solaris',
      tarball: gzipTar(install, paxEntry({ 'SUN.holesdata': ' 0 1' }), file('f')),
      refused: '',
    },
  ],
  'a device, FIFO or volume of a set': ['3', '4', '6', 'M', 'N', 'Z'].map((type) => ({
    what: `type ${type}`,
    tarball: gzipTar(install, rawEntry({ name: 'n', type })),
    refused: "'n'",
  })),
  "a volume label, an incremental archive's lists, a contiguous file, extended attributes, ACLs, owners": [
    {
      what: 'a label',
      tarball: gzipTar(rawHeader({ name: 'My App 1.0', type: 'V', size: Buffer.alloc(12) }), install),
    },
    {
      what: 'a directory with its list',
      tarball: gzipTar(
        rawEntry({ name: './', type: 'D', mode: 0o755 }, 'Yinstall.sh\0\0'),
        install,
        file('f'),
      ),
      look: content('f', 'x'),
    },
    {
      what: 'a contiguous file',
      tarball: gzipTar(install, rawEntry({ name: 'f', type: '7' }, 'x')),
      look: content('f', 'x'),
    },
    {
      what: 'attributes',
      tarball: gzipTar(
        install,
        paxEntry({ 'SCHILY.xattr.user.x': '1', 'SCHILY.acl.access': 'u::rw-' }),
        file('f'),
      ),
    },
    { what: 'no mode', tarball: gzipTar(install, rawEntry({ name: 'f', mode: Buffer.alloc(8) }, 'x')) },
    {
      what: 'a large owner',
      tarball: gzipTar(install, rawEntry({ name: 'f', uid: Buffer.alloc(8, 0x20) }, 'x')),
    },
  ],
  'a pax key twice in one header': [
    {
      what: 'that says nothing of the entry',
      tarball: gzipTar(
        install,
        rawEntry({ name: 'P', type: 'x' }, '13 comment=a\n13 comment=b\n'),
        file('f'),
      ),
    },
    {
      what: 'that names it',
      tarball: gzipTar(install, rawEntry({ name: 'P', type: 'x' }, '10 path=a\n10 path=b\n'), file('f')),
      refused: "pax key 'path'",
    },
  ],
  'another compression, or none, or gzip within gzip': [
    { what: 'xz', tarball: Buffer.from('\xfd7zXZ\0\0', 'latin1'), refused: 'an xz file' },
    { what: 'bzip2', tarball: Buffer.from('BZh91AY'), refused: 'a bzip2 file' },
    { what: 'zip', tarball: Buffer.from('PK\x03\x04'), refused: 'a zip file' },
    { what: 'none', tarball: Buffer.concat([install, END_BLOCKS]), refused: 'a tar archive without gzip' },
    { what: 'text', tarball: Buffer.from('<html>'), refused: 'no gzip data' },
    { what: 'twice', tarball: gzipSync(gzipTar(install)), refused: 'gzip data within' },
    {
      what: 'twice, and long',
      tarball: gzipSync(gzipTar(install, file('f', incompressible()))),
      refused: 'gzip data within',
    },
  ],
};

function incompressible(): string {
  return Array.from({ length: 4000 }, (_, index) =>
    String.fromCharCode(33 + ((index * index * 7919) % 89)),
  ).join('');
}

const rows = new Map(
  SECTION.split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| what') && !line.startsWith('| ---'))
    .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | ?\|$/g, '').trim()))
    .map(([what = '', happens = '', otherwise = '']) => [what, { happens, otherwise }]),
);

test('every row of the table has cases here, and every case a row', () => {
  assert.deepEqual(Object.keys(CASES).sort(), [...rows.keys()].sort());
});

for (const [row, cases] of Object.entries(CASES)) {
  for (const { what, tarball, refused, note, look } of cases) {
    test(`${row}: ${what} is ${refused === undefined ? 'read' : 'refused'}`, () =>
      withUnpacked(tarball, ({ error, contents, directory }) => {
        const { happens, otherwise } = rows.get(row) ?? assert.fail('no such row');
        if (refused !== undefined) {
          assert.ok(error instanceof GweError, 'expected a refusal');
          assert.match(error.message, new RegExp(refused.replaceAll('.', '\\.')));
          assert.match(happens, /refused|read, unless/);
          assert.ok(error.message.includes(otherwise), `${error.message} says ${otherwise}`);
          return;
        }
        assert.equal(error, undefined);
        const notes = (contents?.adjustments ?? []).map(describeAdjustment);
        assert.equal(notes.length, note === undefined ? 0 : 1, notes.join());
        if (note !== undefined) assert.ok(notes[0]?.startsWith(note), notes[0]);
        look?.(directory, contents?.rootPrefix ?? '');
        assert.ok(existsSync(directory));
      }));
  }
}

test('a long name in Latin-1 is read as one', () =>
  withUnpacked(
    gzipTar(
      install,
      rawEntry({ name: '././@LongLink', type: 'L', magic: 'ustar  \0' }, latin1(`${'ü'.repeat(120)}\0`)),
      file('f'),
    ),
    ({ error, directory }) => {
      assert.equal(error, undefined);
      assert.ok(existsSync(join(directory, 'ü'.repeat(120))));
    },
  ));

test('a label behind an extension header does not take it', () =>
  withUnpacked(gzipTar(install, gnuLong('L', 'long'), file('f')), ({ directory }) =>
    content('long', 'x')(directory),
  ));
