/**
 * Commands on a platform as a whole are sent to the process that serves it, since that one alone has the database
 * open: over a socket in its directory, which nobody else may enter.
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import * as http from 'node:http';
import { join } from 'node:path';
import * as v from 'valibot';
import { describeError, ERROR_CODES, GweError, systemCode } from '../../base/errors.ts';
import { unlinkIfThere } from '../../base/fs.ts';

const S3Schema = v.object({
  bucket: v.string(),
  prefix: v.string(),
  endpoint: v.string(),
  region: v.string(),
  keyId: v.string(),
  secretKey: v.string(),
  sessionToken: v.optional(v.string()),
  ca: v.optional(v.string()),
});

const CallSchema = v.variant('call', [
  v.object({ call: v.literal('backup'), to: v.string() }),
  v.object({
    call: v.literal('copy'),
    url: v.string(),
    password: v.optional(v.string()),
    objects: v.optional(S3Schema),
  }),
  v.object({
    call: v.literal('restore'),
    from: v.string(),
    reactivate: v.optional(
      v.object({ seconds: v.number(), products: v.optional(v.pipe(v.array(v.string()), v.readonly())) }),
    ),
  }),
]);

export type ControlCall = v.InferOutput<typeof CallSchema>;

type Result = Readonly<Record<string, string | number>>;

/** `say` sends a line to the caller; `signal` is aborted when the caller has gone. */
export type ControlHandler = (
  call: ControlCall,
  progress: { say(text: string): void; signal: AbortSignal },
) => Promise<Result>;

const LineSchema = v.union([
  v.object({ say: v.string() }),
  v.object({ result: v.record(v.string(), v.union([v.string(), v.number()])) }),
  v.object({
    error: v.object({
      code: v.picklist(Object.keys(ERROR_CODES) as (keyof typeof ERROR_CODES)[]),
      message: v.string(),
    }),
  }),
]);

const MAX_CALL_BYTES = 1024 * 1024;
const NAME = 'control.sock';

/**
 * Listens until `close`. A socket that an earlier process left is replaced: the database is locked, so at most one
 * process serves.
 */
export async function openControl(
  directory: string,
  handle: ControlHandler,
): Promise<{ close(): Promise<void> }> {
  const onCall: http.RequestListener = (request, response) => void answer(handle, request, response);
  const server = http.createServer(onCall);
  unlinkIfThere(join(directory, NAME));
  // Kept open as long as the server, which removes its socket by this path.
  const fd = openSync(directory, 'r');
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath(fd), resolve);
  });
  return {
    async close() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      closeSync(fd);
    },
  };
}

/** The path of a socket may have at most 107 bytes; by the descriptor of an open directory it is always short. */
function socketPath(fd: number): string {
  return `/proc/self/fd/${fd}/${NAME}`;
}

async function answer(
  handle: ControlHandler,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new GweError('CANCELLED', 'cancelled: who asked for it has gone')));
  const send = (line: v.InferOutput<typeof LineSchema>): void => {
    response.write(`${JSON.stringify(line)}\n`);
  };
  try {
    const call = v.parse(CallSchema, JSON.parse(await readAll(request)));
    send({ result: await handle(call, { say: (say) => send({ say }), signal: gone.signal }) });
  } catch (error) {
    const code = error instanceof GweError ? error.code : 'PLATFORM_STATE';
    send({ error: { code, message: describeError(error) } });
  }
  response.end();
}

async function readAll(request: http.IncomingMessage): Promise<string> {
  let text = '';
  request.setEncoding('utf8');
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > MAX_CALL_BYTES) throw new Error(`a call of more than ${MAX_CALL_BYTES} bytes`);
  }
  return text;
}

/** The result; `undefined` where no process serves this directory. Throws what the call threw in that process. */
export async function askControl(
  directory: string,
  call: ControlCall,
  { say, signal }: { say(text: string): void; signal: AbortSignal },
): Promise<Result | undefined> {
  if (!existsSync(directory)) return undefined;
  const fd = openSync(directory, 'r');
  const response = await connect(socketPath(fd), call, signal).finally(() => closeSync(fd));
  if (response === undefined) return undefined;
  response.setEncoding('utf8');
  let rest = '';
  for await (const chunk of response) {
    rest += String(chunk);
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) {
      const line = v.parse(LineSchema, JSON.parse(text));
      if ('result' in line) return line.result;
      if ('error' in line) throw new GweError(line.error.code, line.error.message);
      say(line.say);
    }
  }
  throw new GweError('PLATFORM_STATE', 'the platform ended before it was done; its log may say why');
}

function connect(
  socketPath: string,
  call: ControlCall,
  signal: AbortSignal,
): Promise<http.IncomingMessage | undefined> {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, path: '/', method: 'POST', signal });
    request.once('response', resolve);
    request.on('error', (error) => {
      if (/^(ENOENT|ECONNREFUSED)$/.test(systemCode(error) ?? '')) resolve(undefined);
      else reject(error);
    });
    request.end(JSON.stringify(call));
  });
}
