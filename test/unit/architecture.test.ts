/** The shape of src/, as tables: who may import whom, and who may touch the world. A failure names file and rule. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { transformSync } from 'esbuild';

const SRC = join(import.meta.dirname, '../../src');
const TEST = join(import.meta.dirname, '..');

/** Layer -> what it may import besides itself: a layer, one file of it, or `type X` for its types alone. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  machine: ['base'],
  config: ['base'],
  artifact: ['base'],
  protocol: ['base'],
  supervisor: ['base'],
  // A download that goes on after a restart is a partial file with its note: the store lists and removes both.
  store: ['base', 'artifact', 'protocol/partial-file'],
  platform: ['base', 'fleet', 'protocol/codec', 'protocol/messages', 'artifact/name'],
  // record.ts is the schema of what the journal remembers of an artifact: a type that is checked when it is read back.
  // The rules of a fleet know neither HTTP nor SQL: storage and API are built on them.
  fleet: ['base', 'artifact/name'],
  // The calls of operators on a fleet: the rules, told and stored; the platform knows nothing of them.
  'fleet-api': [
    'base',
    'artifact/name',
    'fleet',
    'platform/http',
    'platform/storage',
    'platform/management/entrance',
    'platform/management/content-use',
    // Who signed a tarball is said at its beginning.
    'artifact/chunks/index-bytes',
    'artifact/limits',
    // What a dry run leaves out, because gateways would.
    'artifact/manifest/release-list',
  ],
  // It runs in a browser: what it shares with the platform are rules that know neither files nor sockets.
  console: ['fleet/people/roles', 'fleet/filter', 'fleet/rollout/stop-rule'],
  update: ['base', 'type artifact', 'artifact/record'],
  service: ['base', 'config', 'supervisor', 'store'],
  adopt: ['base', 'config', 'artifact', 'supervisor', 'store', 'service'],
  agent: [
    'base',
    'machine',
    'config',
    'artifact',
    'protocol',
    'supervisor',
    'store',
    'update',
    'service',
    'adopt',
  ],
  doctor: ['base', 'machine', 'config', 'protocol', 'supervisor', 'store', 'service', 'adopt', 'agent'],
  cli: [
    'base',
    'machine',
    'config',
    'artifact',
    'protocol',
    'supervisor',
    'store',
    'platform',
    'fleet',
    'fleet-api',
    'update',
    'service',
    'adopt',
    'agent',
    'doctor',
  ],
  // The entry makes the one clock that everything else is handed.
  main: ['cli', 'base/clock', 'base/errors', 'base/execve', 'base/output', 'base/startup'],
};

/** A layer with folders -> folder -> which folders beside it it may import, and what it is there for. */
const FOLDERS: Readonly<Record<string, Readonly<Record<string, { may: readonly string[]; why: string }>>>> = {
  agent: {
    clock: { may: [], why: 'what time it is at least, and whether it can be believed' },
    traffic: { may: [], why: 'bytes by purpose, and the budget of a month' },
    run: {
      may: ['clock', 'traffic'],
      why: 'what one process of gwe is made of: context, locks, ids, platform',
    },
    apps: { may: ['run'], why: 'facts about the apps that are installed' },
    reports: { may: ['run', 'apps', 'traffic'], why: 'every text that goes to the platform' },
    admission: { may: ['run'], why: 'whether an artifact may be installed here' },
    fetch: { may: ['run', 'admission'], why: 'the bytes of a new version, from here and from the platform' },
    preflight: {
      may: ['run', 'admission', 'fetch'],
      why: 'whether an update can work, before anything is touched',
    },
    self: { may: ['run', 'traffic', 'admission'], why: 'gwe as an app of its own' },
    effects: {
      may: ['run', 'admission', 'fetch', 'preflight', 'reports', 'self', 'traffic'],
      why: 'what each state of an update does',
    },
    'check-in': { may: ['run', 'reports'], why: 'one contact with the platform' },
    commands: { may: ['run', 'reports', 'check-in', 'effects'], why: 'a command, from its text to its end' },
    idle: { may: ['run', 'traffic', 'check-in', 'effects'], why: 'what happens between two check-ins' },
    operator: { may: ['run', 'traffic', 'reports', 'effects'], why: 'what a person asks for on the gateway' },
  },
  fleet: {
    gateway: { may: [], why: 'what is known of a gateway, from its reports' },
    filter: { may: ['gateway'], why: 'the language in which gateways are chosen' },
    people: { may: [], why: 'who may do what, and what they did' },
    patch: { may: [], why: 'patches that a worker makes for the versions that the fleet runs' },
    rollout: { may: ['gateway', 'filter'], why: 'a version that goes to many gateways, wave by wave' },
  },
  console: {
    base: { may: [], why: 'calls, answers, places, words' },
    parts: { may: ['base'], why: 'what several pages show' },
    settings: { may: ['base', 'parts'], why: 'one part of the settings each' },
    plots: { may: ['base', 'parts'], why: 'lines over time' },
    pages: { may: ['base', 'parts', 'plots', 'settings'], why: 'one page each' },
  },
  artifact: {
    tar: { may: [], why: 'tar and gzip, strictly' },
    manifest: { may: ['tar'], why: 'what an artifact says of itself, and who signed it' },
    unpack: { may: ['tar', 'manifest'], why: 'a checked artifact becomes files' },
    chunks: { may: ['tar', 'manifest'], why: 'the parts that an update is fetched by' },
    make: { may: ['tar', 'manifest', 'unpack', 'chunks'], why: 'files become an artifact' },
    patch: { may: ['tar', 'manifest', 'unpack', 'chunks'], why: 'from one version to the next by a patch' },
  },
  platform: {
    storage: { may: [], why: 'what the platform keeps: one interface, and what carries it' },
    http: { may: ['storage'], why: 'one request and its answer, bounded' },
    devices: { may: ['http', 'storage'], why: 'the calls of devices' },
    management: { may: ['devices', 'http', 'storage'], why: 'the calls of operators' },
    server: {
      may: ['management', 'devices', 'http', 'storage'],
      why: 'sockets, and which call a request is',
    },
  },
  cli: {
    shell: { may: [], why: 'options, help, output: what every command shares' },
    output: { may: ['shell'], why: 'lists and tables, for people and for programs' },
    config: { may: ['shell', 'output'], why: 'the settings of a gateway, by options and by name' },
    developer: { may: ['shell', 'output'], why: 'building, signing and inspecting tarballs' },
    gateway: { may: ['shell', 'output', 'developer'], why: 'commands on a gateway' },
    platform: { may: ['shell', 'output', 'developer'], why: 'commands of a platform and of its operator' },
    fleet: { may: ['shell', 'output', 'developer', 'platform'], why: 'commands about many gateways' },
  },
};

const NPM_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  minimist: ['cli'],
  'cli-progress': ['cli'],
  picomatch: ['artifact'],
  tar: ['artifact'],
  socks: ['protocol/wire/tunnel'],
  'node-fetch': ['protocol/transport', 'cli/platform/platform-client', 'fleet-api/people/sign-on'],
  oauth4webapi: ['fleet-api/people/sign-on'],
  nodemailer: ['fleet-api/notices/send'],
  papaparse: ['fleet-api/csv'],
  'fast-xml-parser': ['supervisor', 'platform/storage/objects/s3-answers'],
  preact: ['console'],
  'preact/hooks': ['console'],
  uplot: ['console/plots/plot-canvas'],
  pg: ['platform/storage/postgres/connection'],
  aws4fetch: ['platform/storage/objects/s3-client'],
  // What a stored file may hold is the one thing of base that is said by a schema.
  valibot: [
    ...Object.keys(LAYERS).filter((layer) => !['base', 'main', 'console'].includes(layer)),
    'base/stored-file',
  ],
};

/** What reaches outside the process, and the files that may use it: file (or layer) -> why. */
const REACHES: readonly { rule: string; found: RegExp; allowed: Readonly<Record<string, string>> }[] = [
  {
    rule: 'only base/process starts processes',
    found: /node:child_process/,
    allowed: { 'base/process': 'the one spawn' },
  },
  {
    rule: 'only where a path is relative is the working directory asked for, which may be gone',
    found: /process\.cwd\(|(?<!\w)io\.cwd\(/,
    allowed: {
      main: 'hands it on',
      'cli/shell/path': 'a path on a command line',
    },
  },
  {
    rule: 'only the transports and the server open sockets',
    found: /from"node:(https?|net|tls|http2|dgram)"/,
    allowed: {
      'protocol/transport-wire': 'the sockets of requests to the platform, counted and bounded',
      'protocol/transport-connect': 'the addresses of a host raced against each other',
      'protocol/transport-tls': 'the certificates that they are checked with',
      'protocol/wire/tunnel': 'asks a proxy over a socket of transport-wire',
      'protocol/transport-proxy': 'compares addresses with networks',
      'protocol/transport-probe': 'looks at a socket of transport-wire',
      'supervisor/client': 'supervisord listens on a Unix socket',
      'platform/server': 'the embedded platform listens',
      'platform/storage/objects/s3-client': 'calls an object store',
      'platform/http/client-address': 'compares addresses, opens nothing',
      'platform/management/entrance': 'tells an address from a name, opens nothing',
      'platform/http/exchange': 'the reason phrases of statuses alone',
      'fleet-api/fleet-api': 'the same',
      'fleet-api/notices/send': 'calls webhooks',
      'fleet-api/notices/addresses': 'compares addresses, and looks names up',
      'fleet-api/people/sign-on': 'an https agent for node-fetch, for a private CA',
      'cli/platform/platform-client': 'an https agent for node-fetch, for a private CA',
    },
  },
  {
    rule: 'only base/clock reads time or sleeps',
    found:
      /\bDate\.now\(|new Date\(\)|new Date[;,)]|performance\.now\(|(?<![.\w])set(Timeout|Interval)\(|node:timers/,
    allowed: {
      'base/clock': 'the one clock',
      console: 'runs in a browser, which has a clock of its own',
      'supervisor/client': 'a whole-answer deadline cancelled from callbacks, not a wait',
      'cli/platform/platform-client':
        'a deadline that every byte puts off again, cancelled from callbacks, not a wait',
      'platform/http/body': 'a socket deadline cancelled from callbacks, not a wait',
      'platform/http/exchange': 'a socket deadline cancelled from callbacks, not a wait',
    },
  },
  {
    rule: 'only base/fs writes durable files',
    found:
      /\b(write|writev|writeFile|appendFile|rename|link|symlink|copyFile|cp|truncate|ftruncate)Sync\(|\bcreateWriteStream\(|node:fs\/promises/,
    allowed: {
      'base/fs': 'the one durable write',
      'base/remove-tree': 'lifts what lies too deep in a tree that it is removing',
      'base/output': 'the standard streams, which are no files of gwe',
      'base/trapped-signals': 'puts notes back into a pipe of the runtime',
      'base/lock': 'a lock lives by link and rename; its content need not survive a power cut',
      'store/written-files': 'fills a temporary in a directory that is held open, which base/fs renames',
      'artifact/unpack/extract': 'fills a staging directory, which is synced as a whole before it is renamed',
      'artifact/make/pack': 'streams the new tarball into a temporary that base/fs renames',
      'artifact/make/pack-indexed':
        'gathers the chunks of the new tarball beside it, and joins them in a temporary',
      'cli/platform/seal-key': 'of two platforms that make the key at once the first one has it by a link',
      'artifact/patch/patch-tarball': 'a scratch file that is gone when the patch is made',
      'cli/platform/platform-client': 'a scratch file that is gone when a patch from it is made',
      'protocol/partial-file': 'appends the download as it comes; its length is its own journal',
      'platform/storage/sqlite/blobs': 'streams an upload into a temporary, synced before it is renamed',
    },
  },
  {
    rule: 'only base/stored-file reads JSON from a file of state',
    found: /JSON\.parse\([^;]*readTextBounded\(/,
    allowed: {
      'base/lock': 'a lock is read before anything else is loaded',
    },
  },
  {
    rule: 'only store/layout says where a file of a gateway is',
    found: /\bjoin\([\w.]*[lL]ayout\.\w+,\s*["'`]/,
    allowed: { 'store/layout': 'every path, once' },
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

const sources = globSync('**/*.{ts,tsx}', { cwd: SRC, exclude: ['packaging/**'] })
  .sort()
  .map(readSource);
const names = new Set(sources.map((source) => source.name));

function readSource(path: string): Source {
  const text = readFileSync(join(SRC, path), 'utf8');
  const name = path.replace(/\.tsx?$/, '');
  const loader = path.endsWith('x') ? 'tsx' : 'ts';
  const code = transformSync(text, { loader, minifyWhitespace: true, legalComments: 'none' }).code;
  return { name, layer: name.split('/')[0] ?? '', imports: readImports(name, text), code, text };
}

function readImports(name: string, text: string): Import[] {
  const found = text.matchAll(
    /^(?:import|export)\s+(type\s)?(?:[^;'"]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm,
  );
  return [...found].map((match) => {
    const target = match[2] ?? match[3] ?? '';
    const inside = normalize(join(dirname(name), target)).replace(/\.tsx?$/, '');
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

test('the folders of a layer import only the folders below them', () => {
  for (const [layer, folders] of Object.entries(FOLDERS)) {
    const known = new Set(sources.filter((s) => s.layer === layer).map((s) => folderOf(s.name)));
    known.delete('');
    assert.deepEqual([...known].sort(), Object.keys(folders).sort(), `the folders of src/${layer}`);
  }
  check(
    faults((source, { target }) => {
      const from = folderOf(source.name);
      const folders = FOLDERS[source.layer];
      if (folders === undefined || from === '' || !isIn(target, source.layer)) return undefined;
      const to = folderOf(target);
      const rule = folders[from];
      if (rule === undefined || to === from || rule.may.includes(to)) return undefined;
      // What lies beside the folders is below them where a layer has such files, and above them in agent.
      if (to === '' && source.layer !== 'agent') return undefined;
      return `'${source.layer}/${from}' (${rule.why}) may import only ${rule.may.join(', ') || 'lower layers'}`;
    }),
  );
});

/** The folder of a layer that a file is in; empty for a file beside the folders. */
function folderOf(name: string): string {
  const parts = name.split('/');
  return parts.length > 2 ? (parts[1] ?? '') : '';
}

test('the table of layers and folders', (t) => {
  for (const [layer, may] of Object.entries(LAYERS)) t.diagnostic(`${layer} <- ${may.join(', ') || 'node:'}`);
  for (const [layer, folders] of Object.entries(FOLDERS))
    for (const [folder, { may, why }] of Object.entries(folders))
      t.diagnostic(`${layer}/${folder} <- ${may.join(', ') || '(nothing beside it)'}: ${why}`);
});

test('a file exports only what it declares: no re-exports', () => {
  check(
    sources
      .filter((s) => /^export\s+(type\s+)?(\*|\{[^}]*\})\s*(as \w+\s*)?from\s/m.test(s.text))
      .map((s) => `src/${s.name}.ts passes on what another file declares: import it from there`),
  );
});

test('what a file exports is imported by another, of src or of the tests', () => {
  const used = new Set(
    [SRC, TEST].flatMap((root) =>
      globSync('**/*.{ts,tsx,mjs}', { cwd: root }).flatMap((path) => namesTaken(join(root, path))),
    ),
  );
  const declared = /^export (?:async )?(?:function\*?|const|class|interface|type) (\w+)/gm;
  check(
    sources.flatMap(({ name, text }) =>
      [...text.matchAll(declared)]
        .map((match) => match[1] ?? '')
        .filter((exported) => ![exported, '*'].some((taken) => used.has(`${join(SRC, name)}#${taken}`)))
        .map((exported) => `src/${name}.ts exports '${exported}', which no other file imports`),
    ),
  );
});

/** `file#name` of all that a file imports from others; `file#*` where it takes the whole. */
function namesTaken(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  const from = (target = ''): string => join(dirname(path), target).replace(/\.tsx?$/, '');
  const named = text.matchAll(/^import\s+(?:type\s+)?\{([^}]*)\}\s+from\s+'(\.[^']+)'/gm);
  const whole = text.matchAll(/^import\s.*\*\s+as\s+\w+\s+from\s+'(\.[^']+)'|\bimport\(\s*'(\.[^']+)'/gm);
  return [
    ...[...named].flatMap(([, list = '', target]) =>
      list.split(',').map(
        (each) =>
          `${from(target)}#${
            each
              .trim()
              .replace(/^type /, '')
              .split(' as ')[0]
          }`,
      ),
    ),
    ...[...whole].map((match) => `${from(match[1] ?? match[2])}#*`),
  ];
}

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
