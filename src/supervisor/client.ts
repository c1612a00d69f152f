/** supervisord's XML-RPC interface over its UNIX socket. */
import { lstatSync } from 'node:fs';
import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Clock } from '../base/clock.ts';
import { describeError, GweError, systemCode } from '../base/errors.ts';
import { decodeResponse, encodeCall, RESPONSE_LIMIT_BYTES, type RpcValue } from './xml-rpc.ts';

/** supervisord's process states (its states.py). */
export type ProcessState =
  | 'STOPPED'
  | 'STARTING'
  | 'RUNNING'
  | 'BACKOFF'
  | 'STOPPING'
  | 'EXITED'
  | 'FATAL'
  | 'UNKNOWN';

const ProcessInfoSchema = v.object({
  name: v.string(),
  group: v.string(),
  statename: v.picklist([
    'STOPPED',
    'STARTING',
    'RUNNING',
    'BACKOFF',
    'STOPPING',
    'EXITED',
    'FATAL',
    'UNKNOWN',
  ] satisfies ProcessState[]),
  /** 0 when it is not running. */
  pid: v.number(),
  /** -1 when a signal ended it. */
  exitstatus: v.number(),
  spawnerr: v.string(),
  /** Unix seconds of the last start; 0 for never. */
  start: v.number(),
  stop: v.number(),
  now: v.number(),
  description: v.string(),
  stdout_logfile: v.string(),
});

export type ProcessInfo = v.InferOutput<typeof ProcessInfoSchema>;

/** Groups by how the configuration on the disk differs from what supervisord has active. */
export interface ConfigChanges {
  added: string[];
  changed: string[];
  removed: string[];
}

/**
 * Every call throws SUPERVISOR_UNREACHABLE when there is no answer or supervisord is shutting down, and
 * SUPERVISOR_REFUSED for any other fault; `faultOf` tells which. `group:process` or `group:*` are names as well.
 */
export interface SupervisorClient {
  getApiVersion(): Promise<string>;
  /** Of supervisord itself: `4.2.5`. */
  getVersion(): Promise<string>;
  getState(): Promise<string>;
  getPid(): Promise<number>;
  getAllProcessInfo(): Promise<ProcessInfo[]>;
  /** The same for a report: rows that cannot be read are counted instead of spoiling the others. */
  getReadableProcessInfo(): Promise<{ rows: ProcessInfo[]; unreadable: number }>;
  getProcessInfo(name: string): Promise<ProcessInfo>;
  /** Reads the configuration files again. Changes nothing that runs. */
  reloadConfig(): Promise<ConfigChanges>;
  addProcessGroup(name: string): Promise<void>;
  removeProcessGroup(name: string): Promise<void>;
  startProcessGroup(name: string, wait?: boolean): Promise<void>;
  startProcess(name: string, wait?: boolean): Promise<void>;
  stopProcessGroup(name: string, wait?: boolean): Promise<void>;
  stopProcess(name: string, wait?: boolean): Promise<void>;
  /** The last `lengthBytes` of a program's stdout log. */
  readLogTail(name: string, lengthBytes: number): Promise<string>;
  /** The last `lengthBytes` of supervisord's own log. */
  readOwnLogTail(lengthBytes: number): Promise<string>;
}

export interface SupervisorClientOptions {
  socketPath: string;
  username?: string;
  password?: string;
  /** For one call. */
  timeoutMs: number;
  /** Tries of a call that did not reach supervisord, at least 1. */
  maxAttempts: number;
  clock: Clock;
  signal?: AbortSignal;
}

const FAULT_NAMES: Readonly<Record<number, string>> = {
  1: 'UNKNOWN_METHOD',
  2: 'INCORRECT_PARAMETERS',
  3: 'BAD_ARGUMENTS',
  6: 'SHUTDOWN_STATE',
  10: 'BAD_NAME',
  11: 'BAD_SIGNAL',
  20: 'NO_FILE',
  21: 'NOT_EXECUTABLE',
  30: 'FAILED',
  40: 'ABNORMAL_TERMINATION',
  50: 'SPAWN_ERROR',
  60: 'ALREADY_STARTED',
  70: 'NOT_RUNNING',
  90: 'ALREADY_ADDED',
  91: 'STILL_RUNNING',
  92: 'CANT_REREAD',
};

/** Calls that may be sent again although an earlier one perhaps arrived. */
const REPEATABLE = /^(?:get|read|reloadConfig)/;

/** The name of supervisord's fault behind `error` (`BAD_NAME`, `CANT_REREAD`, ...), or `undefined`. */
export function faultOf(error: unknown): string | undefined {
  if (!(error instanceof GweError) || error.code !== 'SUPERVISOR_REFUSED') return undefined;
  return typeof error.facts.fault === 'string' ? error.facts.fault : undefined;
}

export function createSupervisorClient(options: SupervisorClientOptions): SupervisorClient {
  const call = (method: string, ...params: (string | number | boolean)[]): Promise<RpcValue> =>
    callWithRetries(options, method, params);
  const decode = async <T>(schema: v.GenericSchema<unknown, T>, pending: Promise<RpcValue>): Promise<T> => {
    const parsed = v.safeParse(schema, await pending);
    if (parsed.success) return parsed.output;
    throw refused(options.socketPath, 'answer', `not as expected: ${v.summarize(parsed.issues)}`);
  };
  return {
    getApiVersion: () => decode(v.string(), call('getAPIVersion')),
    getVersion: () => decode(v.string(), call('getSupervisorVersion')),
    getReadableProcessInfo: async () => {
      const all = await decode(v.array(v.unknown()), call('getAllProcessInfo'));
      const rows = all.flatMap((one) => {
        const row = v.safeParse(ProcessInfoSchema, one);
        return row.success ? [row.output] : [];
      });
      return { rows, unreadable: all.length - rows.length };
    },
    getState: async () => (await decode(v.object({ statename: v.string() }), call('getState'))).statename,
    getPid: () => decode(v.number(), call('getPID')),
    getAllProcessInfo: () => decode(v.array(ProcessInfoSchema), call('getAllProcessInfo')),
    getProcessInfo: (name) => decode(ProcessInfoSchema, call('getProcessInfo', name)),
    reloadConfig: async () => {
      const names = v.array(v.string());
      const [changes] = await decode(v.tuple([v.tuple([names, names, names])]), call('reloadConfig'));
      return { added: changes[0], changed: changes[1], removed: changes[2] };
    },
    addProcessGroup: async (name) => void (await call('addProcessGroup', name)),
    removeProcessGroup: async (name) => void (await call('removeProcessGroup', name)),
    startProcessGroup: async (name, wait = false) => void (await call('startProcessGroup', name, wait)),
    startProcess: async (name, wait = false) => void (await call('startProcess', name, wait)),
    stopProcessGroup: async (name, wait = false) => void (await call('stopProcessGroup', name, wait)),
    stopProcess: async (name, wait = false) => void (await call('stopProcess', name, wait)),
    readLogTail: (name, lengthBytes) =>
      decode(v.string(), call('readProcessStdoutLog', name, -Math.abs(lengthBytes), 0)),
    readOwnLogTail: (lengthBytes) => decode(v.string(), call('readLog', -Math.abs(lengthBytes), 0)),
  };
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1000;

async function callWithRetries(
  options: SupervisorClientOptions,
  method: string,
  params: readonly (string | number | boolean)[],
): Promise<RpcValue> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await callOnce(options, method, params);
    } catch (error) {
      const again = isUnsent(error) || (isBroken(error) && REPEATABLE.test(method));
      if (!again || attempt >= options.maxAttempts || options.signal?.aborted) throw error;
    }
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS);
    await options.clock.sleep(pauseMs, options.signal);
  }
}

/** No connection came about, so nothing was sent. */
function isUnsent(error: unknown): boolean {
  return /^(?:ENOENT|ECONNREFUSED|EAGAIN)$/.test(systemCode(error) ?? '');
}

function isBroken(error: unknown): boolean {
  return /^(?:EPIPE|ECONNRESET)$/.test(systemCode(error) ?? '');
}

async function callOnce(
  options: SupervisorClientOptions,
  method: string,
  params: readonly (string | number | boolean)[],
): Promise<RpcValue> {
  const what = params.length === 0 ? method : `${method} ${String(params[0])}`;
  const { status, text } = await post(options, encodeCall(`supervisor.${method}`, params));
  if (status === 401) {
    throw refused(options.socketPath, what, 'it wants another user name and password than gwe has');
  }
  if (status !== 200) throw refused(options.socketPath, what, `HTTP status ${status}, expected 200`);
  const response = decodeResponse(text);
  if (response.kind === 'value') return response.value;
  if (response.kind === 'garbage')
    throw refused(options.socketPath, what, `an answer with ${response.found}`);
  const fault = FAULT_NAMES[response.code] ?? `fault ${response.code}`;
  if (fault === 'SHUTDOWN_STATE') throw unreachable(options.socketPath, 'it is shutting down');
  throw refused(options.socketPath, what, `${fault}: ${response.text}`.slice(0, 600), fault);
}

interface Answer {
  status: number;
  text: string;
}

function post(options: SupervisorClientOptions, body: string): Promise<Answer> {
  const headers: Record<string, string | number> = {
    'content-type': 'text/xml',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  if (options.username !== undefined) {
    const login = Buffer.from(`${options.username}:${options.password ?? ''}`).toString('base64');
    headers.authorization = `Basic ${login}`;
  }
  // supervisord closes a connection after its answer; a kept one would break at its next use.
  const target: RequestOptions = {
    socketPath: options.socketPath,
    path: '/RPC2',
    method: 'POST',
    headers,
    agent: false,
  };
  return new Promise((resolve, reject) => {
    const sent = request(target, (response) => collect(response, resolve, fail));
    const timer = setTimeout(
      () => fail(new Error(`no answer within ${options.timeoutMs} ms`)),
      options.timeoutMs,
    );
    const onAbort = (): void => fail(new GweError('CANCELLED', 'cannot ask supervisord: cancelled'));
    function fail(error: Error): void {
      clearTimeout(timer);
      sent.destroy();
      reject(
        error instanceof GweError ? error : unreachable(options.socketPath, describeError(error), error),
      );
    }
    sent.on('error', fail);
    sent.on('close', () => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    });
    options.signal?.addEventListener('abort', onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
    else sent.end(body);
  });
}

function collect(
  response: IncomingMessage,
  resolve: (answer: Answer) => void,
  fail: (error: Error) => void,
): void {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  response.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes > RESPONSE_LIMIT_BYTES) {
      fail(
        new GweError(
          'SUPERVISOR_REFUSED',
          `cannot use answer of supervisord: more than ${RESPONSE_LIMIT_BYTES} bytes`,
        ),
      );
    } else chunks.push(chunk);
  });
  response.on('error', fail);
  response.on('aborted', () => fail(new Error('half an answer')));
  response.on('end', () =>
    resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
  );
}

function unreachable(socketPath: string, found: string, cause?: unknown): GweError {
  return new GweError(
    'SUPERVISOR_UNREACHABLE',
    `cannot reach supervisord at '${socketPath}': ${found}, expected it to run and its [unix_http_server] to listen there`,
    { cause },
  );
}

function refused(socketPath: string, what: string, found: string, fault?: string): GweError {
  const message = `cannot have supervisord do '${what}': ${found.replace(/\s+/g, ' ').trim()}`;
  return new GweError('SUPERVISOR_REFUSED', message, {
    facts: { socket: socketPath, ...(fault === undefined ? {} : { fault }) },
  });
}

const USUAL_SOCKETS = [
  'run/supervisor.sock',
  'var/run/supervisor.sock',
  'tmp/supervisor.sock',
  'tmp/supervisord.sock',
];

/**
 * The path of supervisord's socket: the configured one, else what supervisord told its children, else the first
 * usual one that exists below `root`, else the first usual one.
 */
export function findSupervisorSocket(
  env: Readonly<Record<string, string | undefined>>,
  root: string,
  configured?: string,
): string {
  if (configured !== undefined && configured !== '') return configured;
  const told = /^unix:\/\/(\/.+)$/.exec(env.SUPERVISOR_SERVER_URL ?? '')?.[1];
  if (told !== undefined) return told;
  const usual = USUAL_SOCKETS.map((path) => join(root, path));
  return usual.find(isSocket) ?? join(root, 'run/supervisor.sock');
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}
