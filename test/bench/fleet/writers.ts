/** Forty gateways that report five times a second: `writers.ts URL KEYS`, until it is killed. */
import { readFileSync } from 'node:fs';
import * as http from 'node:http';

const [url = '', keyFile = ''] = process.argv.slice(2);
const keys = readFileSync(keyFile, 'utf8').split('\n').slice(-41, -1);
const agent = new http.Agent({ keepAlive: true });
const body = `device_info=${'x'.repeat(1500)}&engine_report=${'y'.repeat(500)}`;
for (const [at, key] of keys.entries())
  setTimeout(() => {
    setInterval(() => {
      const headers = { 'X-Exosite-CIK': key, 'Content-Length': body.length };
      const request = http.request(`${url}/onep:v1/stack/alias?engine_fetch`, {
        method: 'POST',
        agent,
        headers,
      });
      request.on('response', (response) => response.resume());
      request.on('error', () => undefined);
      request.end(body);
    }, 200);
  }, at * 5);
