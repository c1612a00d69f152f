/** A terminal of a given size with a shell in it, as tmux holds it: what is typed, and what is on the screen then. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from './until.ts';

const PROMPT = '$ ';

export interface Terminal {
  /** Types a command line and Enter, and waits until the shell asks for the next: the lines between. */
  type(words: string): Promise<string[]>;
  /** Types a command that asks, waits for `question`, and answers. */
  answer(words: string, question: string, reply: string): Promise<string[]>;
  resize(columns: number, rows: number): Promise<void>;
  close(): Promise<void>;
}

/** `home` gets the socket and the shell's files. */
export async function openTerminal(
  home: string,
  env: Readonly<Record<string, string>>,
  [columns, rows]: readonly [number, number],
): Promise<Terminal> {
  const run = promisify(execFile);
  // Another for each: the server of the one before may still be going away.
  const socket = join(mkdtempSync(join(home, '.tmux-')), 'socket');
  const mark = join(home, '.prompts');
  const tmux = async (...args: string[]): Promise<string> =>
    (await run('tmux', ['-S', socket, '-f', '/dev/null', ...args], { env: { ...process.env, ...env } }))
      .stdout;
  writeFileSync(mark, '');
  const profile = join(home, '.profile-of-test');
  writeFileSync(profile, `PS1='${PROMPT}'\nPROMPT_COMMAND='echo >> ${mark}'\nunset HISTFILE\ncd '${home}'\n`);
  const size = ['-x', String(columns), '-y', String(rows)];
  await tmux('new-session', '-d', ...size, `exec bash --noprofile --rcfile ${profile}`);
  const prompts = (): number => (existsSync(mark) ? readFileSync(mark, 'utf8').length : 0);
  const screen = async (): Promise<string[]> =>
    (await tmux('capture-pane', '-p', '-S', '-'))
      .trimEnd()
      .split('\n')
      .map((text) => text.trimEnd());
  const ready = (before: number): Promise<void> =>
    until(async () => prompts() > before && (await screen()).at(-1) === PROMPT.trimEnd());
  await ready(0);
  // One call of tmux for all: on a busy machine each takes its time.
  const send = async (words: string): Promise<number> => {
    const before = prompts();
    const clear = ['send-keys', '-R', ';', 'clear-history', ';'];
    await tmux(...clear, 'send-keys', '-l', words, ';', 'send-keys', 'Enter');
    return before;
  };
  // Without what was typed, which may take several lines, and the prompt that waits. The first prompt was cleared away.
  const shown = async (words: string): Promise<string[]> =>
    (await screen()).slice(Math.ceil((PROMPT.length + words.length) / columnsNow), -1);
  let columnsNow = columns;
  return {
    async type(words) {
      await ready(await send(words));
      return shown(words);
    },
    async answer(words, question, reply) {
      const before = await send(words);
      await until(async () => (await screen()).join(' ').includes(question));
      await tmux('send-keys', '-l', reply, ';', 'send-keys', 'Enter');
      await ready(before);
      return shown(words);
    },
    async resize(width, height) {
      columnsNow = width;
      await tmux('resize-window', '-x', String(width), '-y', String(height));
    },
    close: async () => void (await tmux('kill-server').catch(() => '')),
  };
}
