import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import * as v from 'valibot';
import type { Clock } from '../base/clock.ts';
import { describeError, GweError, systemCode } from '../base/errors.ts';
import { assertOwnListener } from './listening.ts';
import { type HeldSocket, holdSocket } from './socket.ts';
import type { RpcValue } from './xml-rpc.ts';

/** supervisord's XML-RPC interface over its UNIX socket or its TCP port. */

/** supervisord's process states (its states.py). */
type ProcessState =
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
  /** Where supervisord is asked: the path of its socket, or a URL. */
  readonly address: string;
  getApiVersion(): Promise<string>;
  /** The version of supervisord itself: `4.2.5`. */
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

interface SupervisorClientOptions {
  /** Path of its UNIX socket, or `http://HOST:PORT`. */
  address: string;
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

/** Every supervisord since 3.0 knows these, if it knows any. */
const KNOWN_SINCE_3_0: ReadonlySet<string> = new Set([
  'getAPIVersion',
  'getState',
  'getAllProcessInfo',
  'getPID',
]);

const NO_INTERFACE =
  "its configuration has no section for RPC; add the lines '[rpcinterface:supervisor]' and " +
  "'supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface' to its supervisord.conf, and restart supervisord";

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
    throw refused(options.address, 'answer', `not as expected: ${v.summarize(parsed.issues)}`);
  };
  return {
    address: options.address,
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
  const target = openTarget(options);
  // Not before there is somebody to talk to: what reads XML takes milliseconds to load.
  const { decodeResponse, encodeCall } = await import('./xml-rpc.ts');
  const { status, text } = await post(options, target, encodeCall(`supervisor.${method}`, params));
  if (status === 401) {
    throw refused(
      options.address,
      what,
      'it requires a different user name and password; let gwe read its supervisord.conf, or set supervisor_username and supervisor_password to the values there',
    );
  }
  if (status !== 200) throw refused(options.address, what, `HTTP status ${status}, expected 200`);
  const response = decodeResponse(text);
  if (response.kind === 'value') return response.value;
  if (response.kind === 'garbage') throw refused(options.address, what, `an answer with ${response.found}`);
  const fault = FAULT_NAMES[response.code] ?? `fault ${response.code}`;
  if (fault === 'UNKNOWN_METHOD' && KNOWN_SINCE_3_0.has(method))
    throw refused(options.address, what, NO_INTERFACE, fault);
  if (fault === 'SHUTDOWN_STATE') throw unreachable(options.address, 'it is shutting down');
  throw refused(options.address, what, `${fault}: ${response.text}`.slice(0, 600), fault);
}

interface Answer {
  status: number;
  text: string;
}

/** A response above this is refused unread. */
const RESPONSE_LIMIT_BYTES = 1024 * 1024;

function post(options: SupervisorClientOptions, target: Target, body: string): Promise<Answer> {
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
  const wanted: RequestOptions = { ...target.options, path: '/RPC2', method: 'POST', headers, agent: false };
  return new Promise((resolve, reject) => {
    const sent = request(wanted, (response) => collect(response, resolve, fail));
    const timer = setTimeout(
      () => fail(new Error(`no answer within ${options.timeoutMs} ms`)),
      options.timeoutMs,
    );
    const onAbort = (): void => fail(cancelled());
    function fail(error: Error): void {
      clearTimeout(timer);
      sent.destroy();
      reject(error instanceof GweError ? error : unreachable(options.address, describeError(error), error));
    }
    sent.on('error', fail);
    sent.on('close', () => {
      target.release();
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    });
    options.signal?.addEventListener('abort', onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
    else sent.end(body);
  });
}

interface Target {
  options: Pick<RequestOptions, 'socketPath' | 'host' | 'port'>;
  release(): void;
}

function openTarget({ address, signal }: SupervisorClientOptions): Target {
  try {
    return connectTo(address);
  } catch (error) {
    throw signal?.aborted ? cancelled() : unreachable(address, describeError(error), error);
  }
}

/** Throws where nothing is there that could be supervisord's. */
function connectTo(address: string): Target {
  if (isUrl(address)) {
    const { hostname, port } = new URL(address);
    const host = hostname.replace(/^\[|\]$/g, '');
    assertOwnListener(Number(port || 80));
    return { options: { host, port: Number(port || 80) }, release: () => undefined };
  }
  const held: HeldSocket = holdSocket(address);
  return { options: { socketPath: held.path }, release: held.release };
}

/** Whether an address of supervisord is that of its [inet_http_server]. */
export function isUrl(address: string): boolean {
  return address.startsWith('http://');
}

function cancelled(): GweError {
  return new GweError('CANCELLED', 'cannot ask supervisord: cancelled');
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
          `cannot use the answer of supervisord: more than ${RESPONSE_LIMIT_BYTES} bytes`,
        ),
      );
    } else chunks.push(chunk);
  });
  response.on('error', fail);
  response.on('aborted', () => fail(new Error('half of an answer')));
  response.on('end', () =>
    resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
  );
}

function unreachable(address: string, found: string, cause?: unknown): GweError {
  const section = isUrl(address) ? 'inet_http_server' : 'unix_http_server';
  return new GweError(
    'SUPERVISOR_UNREACHABLE',
    `cannot reach supervisord at '${address}': ${found}, expected it to run and its [${section}] to listen there`,
    { cause },
  );
}

function refused(address: string, what: string, found: string, fault?: string): GweError {
  const message = `supervisord cannot do '${what}': ${found.replace(/\s+/g, ' ').trim()}`;
  return new GweError('SUPERVISOR_REFUSED', message, {
    facts: { socket: address, ...(fault === undefined ? {} : { fault }) },
  });
}
