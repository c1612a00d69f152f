/** The web console: the sources of src/console become a few compressed files, which the executable has in it as text. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build, transform } from 'esbuild';
import { ROOT } from './project.mjs';

const SOURCES = join(ROOT, 'src/console');
const TYPES = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/**
 * Path of the address -> its type, ETag and content. The same sources give the same text.
 * @returns {Promise<Record<string, {type: string, etag: string, gzip: string}>>}
 */
export async function consoleFiles() {
  const source = (name) => readFileSync(join(SOURCES, name), 'utf8');
  const style = await transform(source('style.css'), { loader: 'css', minify: true, target: 'chrome123' });
  const files = [
    ['', 'html', source('index.html')],
    ['console/icon.svg', 'svg', source('icon.svg')],
    ['console/style.css', 'css', style.code],
    ...(await scripts()).map(([name, text]) => [`console/${name}`, 'js', text]),
  ];
  return Object.fromEntries(files.map(([path, type, text]) => [path, packed(TYPES[type], text)]));
}

/** The first page loads `main.js`; what few pages need is in files of their own, loaded when they are shown. */
async function scripts() {
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/console/main.tsx'],
    bundle: true,
    splitting: true,
    outdir: 'console',
    chunkNames: '[name]',
    write: false,
    format: 'esm',
    target: ['chrome110', 'firefox115', 'safari16'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    minify: true,
    legalComments: 'none',
    logLevel: 'warning',
    tsconfig: 'src/console/tsconfig.json',
  });
  return result.outputFiles.map(({ path, text }) => [basename(path), text]);
}

function packed(type, text) {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 16);
  return { type, etag: `"${hash}"`, gzip: gzipSync(text, { level: 9 }).toString('base64') };
}
