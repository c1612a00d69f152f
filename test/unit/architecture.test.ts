/** The shape of src/, as tables: who may import whom, and who may touch the world. A failure names file and rule. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { transformSync } from 'esbuild';

const SRC = join(import.meta.dirname, '../../src');

/** Layer -> what it may import besides itself: a layer, one file of it, or `type X` for its types alone. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  config: ['base'],
  artifact: ['base'],
  protocol: ['base'],
  supervisor: ['base'],
  store: ['base', 'artifact'],
  platform: ['base', 'protocol/codec', 'protocol/messages', 'artifact/name'],
  // record.ts is the schema of what the journal remembers of an artifact: a type that is checked when it is read back.
  update: ['base', 'type artifact', 'artifact/record'],
  service: ['base', 'config', 'supervisor', 'store'],
  agent: ['base', 'config', 'artifact', 'protocol', 'supervisor', 'store', 'update', 'service'],
  doctor: ['base', 'config', 'protocol', 'supervisor', 'store', 'service', 'agent'],
  cli: [
    'base',
    'config',
    'artifact',
    'protocol',
    'supervisor',
    'store',
    'platform',
    'update',
    'service',
    'agent',
    'doctor',
  ],
  // The entry makes the one clock that everything else is handed.
  main: ['cli', 'base/clock', 'base/output', 'base/startup'],
};

const NPM_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  minimist: ['cli'],
  'cli-progress': ['cli'],
  picomatch: ['artifact'],
  tar: ['artifact'],
  'node-fetch': ['protocol/transport', 'cli/platform-client'],
  'fast-xml-parser': ['supervisor'],
  valibot: Object.keys(LAYERS).filter((layer) => layer !== 'base' && layer !== 'main'),
};

/** What reaches outside the process, and the files that may use it: file (or layer) -> why. */
const REACHES: readonly { rule: string; found: RegExp; allowed: Readonly<Record<string, string>> }[] = [
  {
    rule: 'only base/process starts processes',
    found: /node:child_process/,
    allowed: { 'base/process': 'the one spawn' },
  },
  {
    rule: 'only the transports and the server open sockets',
    found: /from"node:(https?|net|tls|http2|dgram)"/,
    allowed: {
      'protocol/transport-wire': 'the sockets of requests to the platform, counted and bounded',
      'protocol/transport-tls': 'the certificates that they are checked with',
      'protocol/transport-probe': 'looks at a socket of transport-wire',
      'supervisor/client': 'supervisord listens on a Unix socket',
      'platform/server': 'the embedded platform listens',
      'cli/platform-client': 'an https agent for node-fetch, for a private CA',
    },
  },
  {
    rule: 'only base/clock reads time or sleeps',
    found:
      /\bDate\.now\(|new Date\(\)|new Date[;,)]|performance\.now\(|(?<![.\w])set(Timeout|Interval)\(|node:timers/,
    allowed: {
      'base/clock': 'the one clock',
      'supervisor/client': 'a whole-answer deadline cancelled from callbacks, not a wait',
      'cli/platform-client':
        'a deadline that every byte puts off again, cancelled from callbacks, not a wait',
      'platform/exchange': 'a socket deadline cancelled from callbacks, not a wait',
    },
  },
  {
    rule: 'only base/fs writes durable files',
    found:
      /\b(write|writev|writeFile|appendFile|rename|link|symlink|copyFile|cp|truncate|ftruncate)Sync\(|\bcreateWriteStream\(|node:fs\/promises/,
    allowed: {
      'base/fs': 'the one durable write',
      'base/output': 'the standard streams, which are no files of gwe',
      'base/trapped-signals': 'puts notes back into a pipe of the runtime',
      'base/lock': 'a lock lives by link and rename; its content need not survive a power cut',
      'artifact/extract': 'fills a staging directory, which is synced as a whole before it is renamed',
      'artifact/pack': 'streams the new tarball into a temporary that base/fs renames',
      'artifact/pack-indexed':
        'gathers the chunks of the new tarball beside it, and joins them in a temporary',
      'artifact/patch/side': 'a scratch file that is gone when the patch is made',
      'protocol/partial-file': 'appends the download as it comes; its length is its own journal',
      'platform/blobs': 'streams an upload into a temporary, synced before it is renamed',
      'platform/admin-token': 'must not replace a token that is there: created exclusively',
    },
  },
  {
    rule: 'only main ends the process',
    found: /process\.(exit|abort|reallyExit)\(/,
    allowed: { main: 'the one exit' },
  },
];

interface Import {
  target: string;
  isTypeOnly: boolean;
}

interface Source {
  name: string;
  layer: string;
  imports: Import[];
  /** Without comments and types. */
  code: string;
  text: string;
}

const sources = globSync('**/*.ts', { cwd: SRC, exclude: ['packaging/**'] })
  .sort()
  .map(readSource);
const names = new Set(sources.map((source) => source.name));

function readSource(path: string): Source {
  const text = readFileSync(join(SRC, path), 'utf8');
  const name = path.replace(/\.ts$/, '');
  const code = transformSync(text, { loader: 'ts', minifyWhitespace: true, legalComments: 'none' }).code;
  return { name, layer: name.split('/')[0] ?? '', imports: readImports(name, text), code, text };
}

function readImports(name: string, text: string): Import[] {
  const found = text.matchAll(
    /^(?:import|export)\s+(type\s)?(?:[^;'"]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm,
  );
  return [...found].map((match) => {
    const target = match[2] ?? match[3] ?? '';
    const inside = normalize(join(dirname(name), target)).replace(/\.ts$/, '');
    return { target: target.startsWith('.') ? inside : target, isTypeOnly: match[1] !== undefined };
  });
}

/** Is `name` the file or in the layer that `place` stands for? */
function isIn(name: string, place: string): boolean {
  return name === place || name.startsWith(`${place}/`);
}

function check(problems: readonly string[]): void {
  assert.equal(problems.length, 0, `\n${problems.join('\n')}\n`);
}

/** One line for each import that `judge` finds fault with. */
function faults(judge: (source: Source, one: Import) => string | undefined): string[] {
  return sources.flatMap((source) =>
    source.imports.flatMap((one) => {
      const fault = judge(source, one);
      return fault === undefined ? [] : [`src/${source.name}.ts imports '${one.target}': ${fault}`];
    }),
  );
}

test('every layer imports only the layers below it', () => {
  check(sources.filter((s) => !(s.layer in LAYERS)).map((s) => `src/${s.name}.ts is in no known layer`));
  check(
    faults((source, { target, isTypeOnly }) => {
      if (!names.has(target) || isIn(target, source.layer)) return undefined;
      const allowed = LAYERS[source.layer] ?? [];
      const isAllowed = allowed.some(
        (place) => isIn(target, place) || (isTypeOnly && isIn(target, place.replace(/^type /, ''))),
      );
      return isAllowed ? undefined : `'${source.layer}' may import only ${allowed.join(', ') || 'node:'}`;
    }),
  );
});

test('every import names a source file, a node: module, or an npm package in its place', () => {
  check(
    faults((source, { target }) => {
      if (target.startsWith('node:') || names.has(target)) return undefined;
      const places = NPM_PACKAGES[target];
      if (places === undefined) return 'neither a file of src nor a package of the table in this test';
      return places.some((place) => isIn(source.name, place))
        ? undefined
        : `it belongs in ${places.join(', ')}`;
    }),
  );
});

test('no file imports itself by way of others, not even for a type', () => {
  const imports = new Map(sources.map((s) => [s.name, s.imports.map((i) => i.target)]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    if (path.includes(name)) cycles.push([...path.slice(path.indexOf(name)), name].join(' -> '));
    if (path.includes(name) || done.has(name)) return;
    for (const target of imports.get(name) ?? []) if (names.has(target)) visit(target, [...path, name]);
    done.add(name);
  };
  for (const name of names) visit(name, []);
  check(cycles.map((cycle) => `import cycle: ${cycle}`));
});

for (const { rule, found, allowed } of REACHES) {
  test(rule, () => {
    const broken = sources.filter(
      (source) => found.test(source.code) && !Object.keys(allowed).some((place) => isIn(source.name, place)),
    );
    check(broken.map((source) => `src/${source.name}.ts has '${found.exec(source.code)?.[0]}': ${rule}`));
  });
}

test('the rules still see what they forbid', () => {
  for (const { rule, found, allowed } of REACHES) {
    const [first] = Object.keys(allowed);
    const owner = sources.find((source) => source.name === first);
    assert.ok(
      owner && found.test(owner.code),
      `'${rule}' finds nothing even in src/${first}.ts, which owns it`,
    );
  }
});

test('no barrels, no any, no state at the top of a module', () => {
  const isAny = /(?::|\bas|<|\||&|,)\s*any\b(?!\s+\w)/;
  check([
    ...sources.filter((s) => /(^|\/)index$/.test(s.name)).map((s) => `src/${s.name}.ts: name what is in it`),
    ...sources
      .filter((s) => isAny.test(withoutComments(s.text)))
      .map((s) => `src/${s.name}.ts has an 'any': use unknown`),
    ...sources
      .filter((s) => /^(export )?(let|var)\s/m.test(s.text))
      .map((s) => `src/${s.name}.ts has a variable at module level: pass an object`),
  ]);
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '');
}
