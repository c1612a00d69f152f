/** What the scripts of a tarball say, and which of its files can be started: kept while the entries go by, in bounded memory. */
import type { InspectOptions } from '../../artifact/unpack/extract.ts';
import { findImports } from '../../supervisor/original-modules.ts';

/** Only the beginning of a longer script is read: imports stand there. */
const SCRIPT_BYTES = 64 * 1024;
/** All scripts together; what comes later is not searched for names. */
const ALL_SCRIPTS_BYTES = 4 * 1024 * 1024;

interface PackedFile {
  isLink: boolean;
  /** Permission bits. */
  mode: number;
  /** The first line, or the first bytes of what has no lines, as Latin-1. */
  firstLine: string;
}

export interface PackedScripts {
  paths: ReadonlySet<string>;
  files: ReadonlyMap<string, PackedFile>;
  /** The modules of the original that a script imports, by its path. */
  imports: ReadonlyMap<string, ReturnType<typeof findImports>>;
  /** Whether a script other than `path` has one of `words` in it. */
  mentions(path: string, words: readonly string[]): boolean;
}

const FIRST_LINE_BYTES = 256;

/** Pass `watch` to the reader of the tarball, and ask for the result when it is through. */
export function watchScripts(): {
  watch: Required<Pick<InspectOptions, 'onFile' | 'onData'>>;
  finish(): PackedScripts;
} {
  const files = new Map<string, PackedFile>();
  const imports = new Map<string, ReturnType<typeof findImports>>();
  const texts = new Map<string, string>();
  let room = ALL_SCRIPTS_BYTES;
  let current: { path: string; file: PackedFile; text: string } | undefined;
  const close = (): void => {
    if (current === undefined) return;
    const { path, file, text } = current;
    current = undefined;
    file.firstLine = text.slice(0, FIRST_LINE_BYTES).split('\n', 1)[0] ?? '';
    if (!/\.(py|sh)$/.test(path) && !text.startsWith('#!')) return;
    const found = /\.(py|sh)$/.test(path) || /^#!.*(python|sh\b)/.test(text) ? findImports(text) : [];
    if (found.length > 0) imports.set(path, found);
    if (text.length > room) return;
    room -= text.length;
    texts.set(path, text);
  };
  return {
    watch: {
      onFile(path, { type, mode }) {
        close();
        const file = { isLink: type !== 'file', mode, firstLine: '' };
        files.set(path, file);
        current = { path, file, text: '' };
      },
      onData(chunk) {
        if (current === undefined) return;
        const left = SCRIPT_BYTES - current.text.length;
        if (left > 0) current.text += chunk.subarray(0, left).toString('latin1');
      },
    },
    finish() {
      close();
      const mentions = (path: string, words: readonly string[]): boolean =>
        [...texts].some(([other, text]) => other !== path && words.some((word) => text.includes(word)));
      return { paths: new Set(files.keys()), files, imports, mentions };
    },
  };
}
