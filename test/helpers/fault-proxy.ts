/** An HTTP relay in front of a platform, which counts what passes and answers itself where a test wants a fault. */
import * as http from 'node:http';

export interface Relayed {
  method: string;
  /** With its query. */
  path: string;
  headers: http.IncomingHttpHeaders;
  body: string;
}

/** Answers (or never does) and returns true, or returns false to let the request through. */
export type Fault = (request: Relayed, response: http.ServerResponse) => boolean;

export interface FaultProxy {
  url: string;
  requests: Relayed[];
  /** Replaces the fault; `undefined` makes the platform well again. */
  setFault(fault: Fault | undefined): void;
  /** By how much the time that answers tell is wrong: their `Date`, and what `/timestamp` says. */
  setTimeLie(ms: number): void;
  close(): Promise<void>;
}

export async function startFaultProxy(platformUrl: string): Promise<FaultProxy> {
  const requests: Relayed[] = [];
  let fault: Fault | undefined;
  let lieMs = 0;
  const server = http.createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const request = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: incoming.headers,
      body: body.toString('utf8'),
    };
    requests.push(request);
    if (fault?.(request, response) !== true) relay(platformUrl, { request, body, lieMs }, response);
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    setFault(next) {
      fault = next;
    },
    setTimeLie(ms) {
      lieMs = ms;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

interface Onward {
  request: Relayed;
  body: Buffer;
  lieMs: number;
}

function relay(platformUrl: string, { request, body, lieMs }: Onward, response: http.ServerResponse): void {
  const { hostname, port } = new URL(platformUrl);
  if (lieMs !== 0 && request.path === '/timestamp') {
    response.end(String(Math.floor((Date.now() + lieMs) / 1000)));
    return;
  }
  const onward = http.request(
    { hostname, port, method: request.method, path: request.path, headers: request.headers, agent: false },
    (answer) => {
      const { date = '' } = answer.headers;
      const told = new Date(Date.parse(date) + lieMs).toUTCString();
      response.writeHead(answer.statusCode ?? 502, {
        ...answer.headers,
        ...(date === '' ? {} : { date: told }),
      });
      answer.pipe(response);
    },
  );
  onward.on('error', () => response.destroy());
  response.on('close', () => onward.destroy());
  onward.end(body);
}
