/** `gwe platform serve` in this process, as its command would run it: with the socket in its directory. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { operatorCalls, type TestPlatform } from './platform.ts';
import { runPlatformCli } from './platform-cli.ts';

const TOKEN = 'test-token-0123456789';

export type ServedPlatform = Omit<TestPlatform, 'caFile' | 'directory'>;

/** `words` are further options; `home` is where the token file is put. */
export async function servePlatform(
  home: string,
  words: readonly string[],
  env = {},
): Promise<ServedPlatform> {
  const tokenFile = join(home, 'token');
  writeFileSync(tokenFile, TOKEN, { mode: 0o600 });
  const stop = new AbortController();
  let ended: Promise<unknown> = Promise.resolve();
  const url = await new Promise<string>((resolve, reject) => {
    ended = runPlatformCli(
      ['platform', 'serve', ...words, '--token-file', tokenFile, '--listen', '127.0.0.1:0'],
      { signal: stop.signal, env, onStdout: (text) => resolve(text.replace('listening on ', '').trim()) },
    );
    ended.catch(reject);
  });
  return {
    url,
    adminUrl: url,
    token: TOKEN,
    ...operatorCalls(url, TOKEN),
    async close() {
      stop.abort();
      await ended;
    },
  };
}
