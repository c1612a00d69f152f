import { closeSync, openSync, readSync, statSync } from 'node:fs';
import * as http from 'node:http';
import { join, normalize } from 'node:path';

/** Files over HTTP for the peers: whole, a range, or several ranges at once, which zsync asks for. */

export interface StaticServer {
  url: string;
  close(): Promise<void>;
}

export async function startStaticServer(directory: string): Promise<StaticServer> {
  const server = http.createServer((request, response) => {
    const path = join(directory, normalize(decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/')));
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isFile() !== true) {
      response.writeHead(404, { 'content-length': '0' }).end();
      return;
    }
    answer(path, stat.size, request.headers.range, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function answer(path: string, size: number, asked: string | undefined, response: http.ServerResponse): void {
  const ranges = parseRanges(asked, size);
  const [only] = ranges;
  if (only === undefined) {
    response.writeHead(200, { 'content-length': size, 'accept-ranges': 'bytes' });
    response.end(readPart(path, 0, size - 1));
  } else if (ranges.length === 1) {
    const [first, last] = only;
    const length = last - first + 1;
    response.writeHead(206, { 'content-length': length, 'content-range': `bytes ${first}-${last}/${size}` });
    response.end(readPart(path, first, last));
  } else {
    const parts = ranges.flatMap(([first, last]) => [
      Buffer.from(
        `\r\n--cut\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${first}-${last}/${size}\r\n\r\n`,
      ),
      readPart(path, first, last),
    ]);
    const body = Buffer.concat([...parts, Buffer.from('\r\n--cut--\r\n')]);
    response.writeHead(206, {
      'content-length': body.length,
      'content-type': 'multipart/byteranges; boundary=cut',
    });
    response.end(body);
  }
}

function parseRanges(asked: string | undefined, size: number): [number, number][] {
  if (asked === undefined) return [];
  return asked
    .replace(/^bytes=/, '')
    .split(',')
    .map((text) => /^\s*(\d+)-(\d*)\s*$/.exec(text))
    .filter((match) => match !== null)
    .map(([, first, last]) => [Number(first), Math.min(size - 1, last === '' ? size - 1 : Number(last))]);
}

function readPart(path: string, first: number, last: number): Buffer {
  const bytes = Buffer.alloc(last - first + 1);
  const fd = openSync(path, 'r');
  try {
    readSync(fd, bytes, 0, bytes.length, first);
    return bytes;
  } finally {
    closeSync(fd);
  }
}
