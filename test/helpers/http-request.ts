import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';

/** One HTTP request in the plainest way, so that a test sees what is on the wire. */

export interface HttpReply {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: string;
  bytes: Buffer;
}

export interface HttpRequestOptions {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  caFile?: string | undefined;
}

export function httpRequest(url: string, options: HttpRequestOptions = {}): Promise<HttpReply> {
  const isTls = url.startsWith('https:');
  const body = options.body === undefined ? undefined : Buffer.from(options.body);
  const headers = {
    ...(body === undefined ? {} : { 'content-length': String(body.length) }),
    ...options.headers,
  };
  // The path goes out as it is given: URL would tidy `..` away.
  const [, origin = '', path = '/'] = /^(\w+:\/\/[^/]+)(.*)$/.exec(url) ?? [];
  const { hostname, port } = new URL(origin);
  const common = { hostname, port, path, method: options.method ?? 'GET', headers, agent: false } as const;
  return new Promise((resolve, reject) => {
    const onReply = (response: http.IncomingMessage): void => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const bytes = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: bytes.toString(),
          bytes,
        });
      });
    };
    const ca = options.caFile === undefined ? {} : { ca: readFileSync(options.caFile) };
    const request = isTls ? https.request({ ...common, ...ca }, onReply) : http.request(common, onReply);
    request.on('error', reject);
    request.end(body);
  });
}
