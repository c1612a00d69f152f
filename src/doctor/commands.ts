/** Commands that put right what a check has found, as a shell takes them. */
import type { Layout } from '../store/layout.ts';

/** `gwe WORDS`, for this root. */
export function gweCommand({ root }: Pick<Layout, 'root'>, ...words: string[]): string {
  return shellLine('gwe', ...words, ...(root === '/' ? [] : ['--root', root]));
}

/** `supervisorctl WORDS`, by the configuration that counts here. */
export function supervisorCommand(configFile: string | undefined, ...words: string[]): string {
  return shellLine('supervisorctl', ...(configFile === undefined ? [] : ['-c', configFile]), ...words);
}

export function shellLine(...words: string[]): string {
  return words.map(quoteWord).join(' ');
}

function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** For whoever is not root: nothing else that a check finds then is certain. */
export const AS_ROOT = { mend: 'run it as root', run: 'sudo gwe doctor' } as const;

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}
