/**
 * Gateways by their protocol, as many as there are keys: `sim-gateways.ts URL KEYS FATES`. FATES has a line for each: what
 * becomes of the version on it. For a number on stdin, all gateways whose turn it is check in; then it prints, as one
 * line of JSON, who took the command, in the order in which they did, and what they reported.
 */
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import { createInterface } from 'node:readline';
import { encodeForm, splitForm } from '../../../src/protocol/codec.ts';
import { type Fate, TURNS } from './scenarios.ts';

const [url = '', keyFile = '', fateFile = ''] = process.argv.slice(2);
const AT_ONCE = 32;
const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
const keys = readFileSync(keyFile, 'utf8').trimEnd().split('\n');
const fates = readFileSync(fateFile, 'utf8').trimEnd().split('\n') as Fate[];
const gone = new Set<number>();

function ask(key: string, form: [string, string][] | undefined, reads: string): Promise<string> {
  const body = form === undefined ? '' : encodeForm(form);
  const headers = {
    'X-Exosite-CIK': key,
    Accept: 'application/x-www-form-urlencoded; charset=utf-8',
    ...(form === undefined
      ? {}
      : {
          'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8',
          'Content-Length': Buffer.byteLength(body),
        }),
  };
  return new Promise((resolve, reject) => {
    const method = form === undefined ? 'GET' : 'POST';
    const request = http.request(
      `${url}/onep:v1/stack/alias?${reads}`,
      { method, agent, headers },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () =>
          (response.statusCode ?? 0) < 300
            ? resolve(text)
            : reject(new Error(`${method}: ${response.statusCode} ${text}`)),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** The command that is due, if there is one. */
async function look(key: string): Promise<string> {
  const values = splitForm(await ask(key, undefined, 'engine_fetch&update_interval')) ?? [];
  return values.find(({ name }) => name === 'engine_fetch')?.value ?? '';
}

/** As the agent does: the command is emptied, carried out, and reported together with what runs then. */
async function carryOut(key: string, command: string, fate: Fate): Promise<void> {
  await ask(key, [['engine_fetch', '']], 'engine_fetch');
  if (fate === 'silent') return;
  const isGood = fate === 'good';
  const { id } = JSON.parse(command) as { id: string };
  const status = {
    ...{ name: 'hello', version: '2', tx: id, command: id, status: isGood ? 'success' : 'failure' },
    ...(isGood
      ? { outcome: 'installed' }
      : { outcome: 'rolled-back', code: 'INSTALL_FAILED', reason: 'as told' }),
  };
  const apps = [{ hello: { version: isGood ? '2' : '1', previous: '1', status: 'RUNNING' } }];
  await ask(
    key,
    [
      ['fetch_status', JSON.stringify(status)],
      ['engine_report', JSON.stringify({ apps })],
    ],
    'engine_fetch',
  );
}

async function turn(number: number): Promise<number[]> {
  const due = keys.flatMap((_, at) => (at % TURNS === number % TURNS && !gone.has(at) ? [at] : []));
  const took: number[] = [];
  const work = async (): Promise<void> => {
    for (let at = due.shift(); at !== undefined; at = due.shift()) {
      const [key = '', fate = 'good'] = [keys[at], fates[at]];
      const command = await look(key);
      if (command === '') continue;
      took.push(at);
      if (fate === 'silent') gone.add(at);
      await carryOut(key, command, fate);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return took;
}

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(await turn(Number(line)))}\n`);
