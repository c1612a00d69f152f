/**
 * Apps of which an update edits a few sources and rebuilds the one program. Beside the program, which is real
 * (rebuilt-program.ts), there are made-up sources, which compress as sources do, and pictures, which do not compress.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { numbers } from '../payload.ts';
import { rebuildProgram } from './rebuilt-program.ts';

export interface MadeApp {
  slug: string;
  /** Bytes of all files together, about. */
  sizeBytes: number;
  files: number;
  /** Functions of the program that grow. */
  grown: number;
  /** Sources that are edited. */
  edited: number;
}

const PICTURES_SHARE = 0.05;
const PICTURES = 20;

/** Writes the old or the new version of `app` below `tree`, around `program`. */
export function writeMadeApp(tree: string, app: MadeApp, version: 'old' | 'new', program: Buffer): void {
  const put = (path: string, content: Buffer | string, mode = 0o644): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content, { mode });
  };
  put('bin/program', version === 'old' ? program : rebuildProgram(program, app.grown, app.slug), 0o755);
  const sources = app.files - PICTURES;
  const sourceBytes = (app.sizeBytes * (1 - PICTURES_SHARE) - program.length) / sources;
  for (let index = 0; index < sources; index++) {
    const lines = sourceLines(`${app.slug}/${index}`, sourceBytes);
    if (version === 'new' && index % Math.ceil(sources / app.edited) === 0)
      edit(lines, `${app.slug}/${index}`);
    put(`lib/part-${index % 23}/source-${index}.js`, `${lines.join('\n')}\n`);
  }
  for (let index = 0; index < PICTURES; index++) {
    const bytes = Math.round((app.sizeBytes * PICTURES_SHARE) / PICTURES);
    put(`share/picture-${index}.png`, noise(bytes, `${app.slug}/picture/${index}`));
  }
}

const STATEMENTS: readonly ((name: () => string) => string)[] = [
  (name) => `const ${name()} = ${name()}(${name()}, ${name()});`,
  (name) => `if (${name()}.${name()} === undefined) return ${name()};`,
  (name) => `for (const ${name()} of ${name()}.${name()}) {`,
  (name) => `${name()}.${name()} = ${name()}.${name()} + ${name()};`,
  (name) => `export function ${name()}(${name()}, ${name()}) {`,
  (name) => `// The ${name()} of a ${name()} is the ${name()}.`,
  () => '}',
  () => '',
];

/** About `sizeBytes` of them; some files are four times as long as others. */
function sourceLines(seed: string, sizeBytes: number): string[] {
  const next = numbers(seed);
  const most = sizeBytes * (0.4 + (1.2 * next()) / 2 ** 32);
  // Each file has some names of its own, and the frequent ones often.
  const own = next() % 4096;
  const name = (): string => {
    const [word, rank] = [next(), (next() % 2048) >> (next() % 8)];
    return word % 3 === 0 ? wordOf(own + (rank % 24)) : wordOf(rank * 7919) + wordOf(rank % 61);
  };
  const lines: string[] = [];
  for (let bytes = 0; bytes < most; ) {
    const statement = STATEMENTS[next() % STATEMENTS.length] ?? (() => '');
    const line = `${'  '.repeat(1 + (next() % 3))}${statement(name)}`;
    lines.push(line);
    bytes += line.length + 1;
  }
  return lines;
}

const SYLLABLES = [
  'ta',
  'ren',
  'co',
  'di',
  'ex',
  'lo',
  'mar',
  'set',
  'get',
  'in',
  'ver',
  'no',
  'pa',
  'li',
  'fo',
  'un',
];

function wordOf(number: number): string {
  let word = '';
  for (let rest = number + 16; rest > 0; rest = Math.floor(rest / 16)) word += SYLLABLES[rest % 16] ?? '';
  return word;
}

/** A few lines more, one less, and one changed. */
function edit(lines: string[], seed: string): void {
  const next = numbers(`edit of ${seed}`);
  lines.splice(next() % lines.length, 0, ...sourceLines(`more of ${seed}`, 400));
  lines.splice(next() % lines.length, 1);
  const changed = next() % lines.length;
  lines[changed] = `${lines[changed]} // ${wordOf(next() % 65536)}`;
}

function noise(sizeBytes: number, seed: string): Buffer {
  const next = numbers(seed);
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at + 4 <= sizeBytes; at += 4) bytes.writeUInt32LE(next(), at);
  return bytes;
}
