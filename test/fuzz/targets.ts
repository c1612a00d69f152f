/** Every decoder that meets bytes from outside, with what must hold for whatever it takes. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type ArtifactLimits, DEFAULT_LIMITS } from '../../src/artifact/limits.ts';
import { renderCanonical } from '../../src/artifact/manifest/canonical-json.ts';
import { IndexGuard } from '../../src/artifact/manifest/index-guard.ts';
import {
  bodyBytesOf,
  chunkFacts,
  decodeManifest,
  renderManifest,
} from '../../src/artifact/manifest/manifest.ts';
import { decodeSignatures, renderSignatures } from '../../src/artifact/manifest/signature.ts';
import { gunzipFile } from '../../src/artifact/tar/gunzip.ts';
import { TarReader } from '../../src/artifact/tar/reader.ts';
import { iniValue, parseIni } from '../../src/base/ini.ts';
import { loadEngineConfig, loadGatewayConfig, saveGatewayConfig } from '../../src/config/config-files.ts';
import { decodeForm, encodeForm, parseContentInfo, parseContentList } from '../../src/protocol/codec.ts';
import { decodeInstruction, decodeInterval, MAX_INSTALL_ENTRIES } from '../../src/protocol/messages.ts';
import { renderProgram } from '../../src/supervisor/program.ts';
import { checkProgramConfig } from '../../src/supervisor/program-check.ts';
import { decodeResponse } from '../../src/supervisor/xml-rpc.ts';
import { forge, manifestText } from '../helpers/indexed.ts';
import { END_BLOCKS, gnuLong, paxEntry, rawEntry } from '../helpers/tar-bytes.ts';
import { chunkTargets } from './chunk-targets.ts';
import { httpTarget } from './http-target.ts';
import { patchTargets } from './patch-targets.ts';
import { signedTargets } from './signed-targets.ts';

export interface FuzzTarget {
  name: string;
  seeds: readonly Buffer[];
  /** What the format is made of. */
  words: readonly string[];
  limitBytes: number;
  /** May throw a GweError of one line, and nothing else. */
  run(input: Buffer): void | Promise<void>;
  close?(): Promise<void>;
}

const LIMITS: ArtifactLimits = {
  ...DEFAULT_LIMITS,
  unpackedBytes: 2 ** 24,
  ratioFloorBytes: 2 ** 20,
  entries: 1000,
  allPathsBytes: 2 ** 16,
};
const text = (bytes: Buffer): string => bytes.toString('utf8');

const TAR_SEED = Buffer.concat([
  rawEntry({ name: 'install.sh', mode: 0o755 }, '#!/bin/sh\n'),
  rawEntry({ name: 'd/', type: '5', mode: 0o755 }),
  paxEntry({ path: `d/${'p'.repeat(120)}`, mtime: '1.5' }),
  rawEntry({ name: 'd/p' }, 'content'),
  gnuLong('L', 'd/long'),
  rawEntry({ name: 'd/lo', magic: 'ustar  \0' }),
  rawEntry({ name: 'link', type: '2', link: 'd/p' }),
  rawEntry({ name: 'hard', type: '1', link: 'install.sh' }),
  END_BLOCKS,
]);
const TAR_WORDS = [
  '../',
  '/',
  './',
  'ustar\0' + '00',
  'ustar  \0',
  '\0',
  '9 a=b\n',
  'path=',
  'linkpath=',
  'size=',
  'GNU.sparse.',
];

/** Mutation breaks checksums, and behind them nothing else would be tried: every header gets a right one. */
function withChecksums(input: Buffer): Buffer {
  const bytes = Buffer.from(input);
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (block.every((byte) => byte === 0)) continue;
    block.fill(' ', 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const size = Number.parseInt(block.toString('latin1', 124, 136), 8);
    if (size > 0 && size < bytes.length) at += Math.ceil(size / 512) * 512;
  }
  return bytes;
}

function readTar(stream: Buffer, chunkBytes: number): void {
  const guard = new IndexGuard({ limits: LIMITS });
  const reader = new TarReader(
    {
      entry(entry, directories) {
        for (const path of [entry.path, ...directories]) {
          assert.ok(!path.startsWith('/') && !path.split('/').includes('..') && !path.includes('\0'), path);
        }
        guard.entry(entry);
      },
      data: (chunk) => guard.data(chunk),
      fileEnd: () => guard.fileEnd(),
    },
    LIMITS,
  );
  for (let at = 0; at < stream.length; at += chunkBytes) reader.write(stream.subarray(at, at + chunkBytes));
  reader.end();
}

const MANIFEST = manifestText(
  { 'install.sh': 'x', a: '' },
  { release: 3, expires: 2_000_000_000, architectures: ['x64'] },
);
/** With one chunk that is the whole body. */
const CHUNKED = manifestText({ 'install.sh': 'x', a: '' }, { chunks: [[2560, 40, 'a'.repeat(32)]] });
const SIGNATURES = `{"format":1,"signatures":[{"keyid":"${'a'.repeat(32)}","signature":"${Buffer.alloc(64).toString('base64')}"}]}`;

/** Mutated JSON is seldom canonical: where it is JSON at all, its canonical form is tried too. */
function withCanonical(input: Buffer, decode: (bytes: Buffer) => void): void {
  let canonical: Buffer | undefined;
  try {
    canonical = Buffer.from(renderCanonical(JSON.parse(text(input))));
  } catch {
    // No JSON, or nothing that has a canonical form.
  }
  if (canonical !== undefined && !canonical.equals(input)) decode(canonical);
  decode(input);
}

const directory = (): string => mkdtempSync(join(tmpdir(), 'gwe-fuzz-'));
const JSON_WORDS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  'null',
  '1e999',
  '"\\u0000"',
  '"__proto__":',
  '\\ud800',
];

function fileTargets(): FuzzTarget[] {
  const scratch = directory();
  const path = (name: string): string => join(scratch, name);
  const close = async (): Promise<void> => rmSync(scratch, { recursive: true, force: true });
  const gunzip = async (bytes: Buffer): Promise<void> => {
    writeFileSync(path('a.tar.gz'), bytes);
    let unpacked = 0;
    await gunzipFile(path('a.tar.gz'), { limits: LIMITS }, (chunk) => {
      unpacked += chunk.length;
      assert.ok(unpacked <= LIMITS.unpackedBytes);
    });
    assert.equal(unpacked, gunzipSync(bytes).length, 'as much as zlib sees');
  };
  return [
    {
      name: 'gzip',
      seeds: [
        gzipSync('hello'),
        Buffer.concat([gzipSync('a'), gzipSync(Buffer.alloc(5000))]),
        forge(MANIFEST, []),
      ],
      words: ['\x1f\x8b\x08', '\0\0\0\0'],
      limitBytes: 64 * 1024,
      run: gunzip,
      close,
    },
    {
      name: 'gateway-cfg',
      seeds: [
        Buffer.from("[device]\ncik = ''\nmodel = m ; c\nuuid: 1\n  more\n"),
        Buffer.from('[engine]\nupdate_interval=5\n'),
      ],
      words: ['[device]', '[engine]', 'cik', '=', ':', ';', '#', '\n ', "''", '"', '\r', 'max_entries='],
      limitBytes: 16 * 1024,
      run(input) {
        writeFileSync(path('Gateway.cfg'), input);
        const before = loadGatewayConfig(path('Gateway.cfg')).values;
        loadEngineConfig(path('Gateway.cfg'));
        saveGatewayConfig(path('Gateway.cfg'), { cik: 'c'.repeat(40) });
        const after = loadGatewayConfig(path('Gateway.cfg')).values;
        assert.deepEqual(after, { ...before, cik: 'c'.repeat(40) }, 'a rewrite changes one key');
      },
      close,
    },
  ];
}

function textTargets(): FuzzTarget[] {
  return [
    {
      name: 'engine-fetch',
      seeds: ['{"install":[{"name":"a.v1.tar.gz","sha256":"00"}],"id":2}', '{"install":"x"}', '5'].map(
        (each) => Buffer.from(each),
      ),
      words: [...JSON_WORDS, '"install"', '"name"', '.tar.gz', '.v'],
      limitBytes: 70 * 1024,
      run(input) {
        const decoded = decodeInstruction(text(input));
        if (decoded.kind === 'install') assert.ok(decoded.entries.length <= MAX_INSTALL_ENTRIES);
        if (decoded.kind === 'invalid') assert.ok(decoded.reason.length < 5000 && !/\n/.test(decoded.reason));
        decodeInterval(text(input));
      },
    },
    {
      name: 'form',
      seeds: ['a=b&c=%41+d', 'engine_fetch=%7B%7D&update_interval=', '&&=&%', 'a=%zz'].map((each) =>
        Buffer.from(each),
      ),
      words: ['&', '=', '%', '+', '%00', '%ff', '%F0%9F', ';'],
      limitBytes: 64 * 1024,
      run(input) {
        const pairs = decodeForm(text(input));
        const again = decodeForm(encodeForm(pairs.filter(([name, value]) => name !== '' || value !== '')));
        assert.deepEqual(
          again,
          pairs.filter(([name, value]) => name !== '' || value !== ''),
          'what was decoded is encoded again',
        );
      },
    },
    {
      name: 'content-csv',
      seeds: ['application/gzip,123,1400000000,SHA256:00,x', 'a.v1.tar.gz\r\nb.v1.tar.gz\r\n'].map((each) =>
        Buffer.from(each),
      ),
      words: [',', '\r\n', '"', '-1', 'SHA256:', '1e9'],
      limitBytes: 64 * 1024,
      run(input) {
        const info = parseContentInfo(text(input));
        if (info !== undefined) assert.ok(Number.isSafeInteger(info.sizeBytes) && info.sizeBytes >= 0);
        for (const id of parseContentList(text(input))) assert.ok(!id.includes('\n'));
      },
    },
    {
      name: 'supervisor-conf',
      seeds: [
        Buffer.from(
          '[program:x]\ncommand=./run "a b" %(here)s\nuser=root\nautorestart=true\nenvironment=A="1",B=2\n',
        ),
        Buffer.from(
          '[program:x]\ncommand=/bin/cat\nstdout_logfile=/tmp/%(program_name)s.log\nexitcodes=0,2\nstopsignal=INT\n',
        ),
      ],
      words: [
        '[program:',
        ']',
        '%(',
        ')s',
        '%',
        '%%',
        '=',
        '"',
        "'",
        '\\',
        ';',
        '\n',
        ' ;',
        'command',
        'numprocs=',
        'startsecs=',
      ],
      limitBytes: 16 * 1024,
      run(input) {
        const program = renderProgram('app', text(input), { logDirectory: '/l', directory: '/d' });
        const context = {
          confDirectory: '/c',
          hostName: 'h',
          environment: {},
          userExists: () => true,
          directoryExists: () => true,
        };
        const problems = checkProgramConfig('app', program.text, context, program.settings);
        if (problems.length > 0) return;
        const { sections } = parseIni(program.text);
        assert.deepEqual(
          sections.map(({ name }) => name),
          ['program:app'],
          'one entry, of this app',
        );
        assert.ok(iniValue(parseIni(program.text), 'program:app', 'command'));
      },
    },
    {
      name: 'xml-rpc',
      seeds: [
        '<?xml version="1.0"?><methodResponse><params><param><value><array><data><value><struct><member><name>a</name><value><int>1</int></value></member></struct></value></data></array></value></param></params></methodResponse>',
        '<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>10</int></value></member><member><name>faultString</name><value><string>x&amp;y</string></value></member></struct></value></fault></methodResponse>',
      ].map((each) => Buffer.from(each)),
      words: [
        '<value>',
        '</value>',
        '<struct>',
        '<member>',
        '<name>__proto__</name>',
        '<![CDATA[',
        ']]>',
        '<!--',
        '&#0;',
        '&lt;',
        '<boolean>',
        '<!DOCTYPE',
        '<?',
      ],
      limitBytes: 64 * 1024,
      run(input) {
        assert.ok(['value', 'fault', 'garbage'].includes(decodeResponse(text(input)).kind));
        assert.equal(Object.keys(Object.prototype).length, 0);
      },
    },
  ];
}

/** All targets; `close` those that have it. */
export async function createTargets(): Promise<FuzzTarget[]> {
  return [
    {
      name: 'tar',
      seeds: [TAR_SEED, gunzipSync(forge(MANIFEST, [rawEntry({ name: 'a' })]))],
      words: TAR_WORDS,
      limitBytes: 256 * 1024,
      run(input) {
        const stream = input.length % 8 === 7 ? input : withChecksums(input);
        readTar(stream, input.length % 3 === 0 ? 100 : stream.length + 1);
      },
    },
    ...fileTargets(),
    {
      name: 'manifest',
      seeds: [Buffer.from(MANIFEST), Buffer.from(CHUNKED)],
      words: [
        ...JSON_WORDS,
        '"entries"',
        '"path"',
        '"mode"',
        '"0755"',
        '"symlink"',
        '"target"',
        '"chunks":[[',
        '],[',
        '9007199254740992',
        '../',
      ],
      limitBytes: 64 * 1024,
      run: (input) =>
        withCanonical(input, (bytes) => {
          const manifest = decodeManifest(bytes, LIMITS);
          assert.deepEqual(renderManifest(manifest), bytes, 'one form only');
          const sum = chunkFacts(manifest).reduce((total, { sizeBytes }) => total + sizeBytes, 0);
          assert.equal(sum, manifest.chunks === undefined ? 0 : bodyBytesOf(manifest));
        }),
    },
    {
      name: 'signatures',
      seeds: [Buffer.from(SIGNATURES), Buffer.from('{"format":1,"signatures":[]}')],
      words: [...JSON_WORDS, '"keyid"', '"signature"', '"format"'],
      limitBytes: 64 * 1024,
      run: (input) =>
        withCanonical(input, (bytes) => {
          assert.deepEqual(renderSignatures(decodeSignatures(bytes)), bytes, 'one form only');
        }),
    },
    ...textTargets(),
    ...(await chunkTargets()),
    ...patchTargets(),
    ...(await signedTargets()),
    await httpTarget(),
  ];
}
