/**
 * Gateways and operators that write down what was acknowledged to them, against platforms that may be killed at any
 * moment, and what has to be true of it afterwards: nothing acknowledged is lost, no command comes twice, none is lost.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type HttpReply, type HttpRequestOptions, httpRequest } from './http-request.ts';
import { operatorCalls } from './platform.ts';
import { TOKEN } from './platform-process.ts';
import { until } from './until.ts';

const ALIAS = '/onep:v1/stack/alias';
const PRODUCT = 'P';

interface Gateway {
  cik: string;
  /** Counters that it has sent, and that were acknowledged. */
  sent: number;
  acknowledged: number;
  /** The last command that an operator was told is written; how often each was sent, and how often it was carried out. */
  commanded: number;
  asked: Map<number, number>;
  carriedOut: Map<number, number>;
  /** The command that it was shown and has not yet been told is emptied. */
  open: number | undefined;
}

export interface FleetLoad {
  counts: { writes: number; commands: number; uploads: number; activations: number; refused: number };
  /** Everybody works until `stop`; what fails is tried again, at the next platform. */
  start(): void;
  /** Resolves when nobody has anything under way. */
  stop(): Promise<void>;
  /** Throws where something that was acknowledged is not there. */
  verify(): Promise<void>;
  /** Resolves when everybody has had an answer again. */
  progress(): Promise<void>;
}

interface LoadOptions {
  /** All of them are one platform. */
  urls: readonly string[];
  /** Of this load alone: what its serial numbers and content begin with. */
  name: string;
  gateways: number;
  /** Without it nothing is uploaded. */
  uploads?: boolean;
  /** Resolves when what a platform was doing when it was killed is done or given up, in its database too. */
  settled?: ((url: string) => Promise<void>) | undefined;
}

export async function createFleetLoad({
  urls,
  name,
  gateways,
  uploads = true,
  settled = () => Promise.resolve(),
}: LoadOptions): Promise<FleetLoad> {
  const counts = { writes: 0, commands: 0, uploads: 0, activations: 0, refused: 0 };
  const contents = new Map<string, Set<string>>();
  const activated = new Map<string, string>();
  const faults: string[] = [];
  let isStopped = true;
  let working: Promise<unknown>[] = [];
  let turn = 0;
  /** `undefined` where there was no answer, or one that says to come again. */
  const call = async (path: string, options: HttpRequestOptions): Promise<HttpReply | undefined> => {
    const url = urls[turn++ % urls.length] ?? '';
    const reply = await httpRequest(url + path, options).catch(() => undefined);
    if (reply !== undefined && reply.status < 500 && reply.status !== 429) return reply;
    counts.refused++;
    // Else a write that nobody has acknowledged could still take the place of a later one that was.
    await settled(url);
    await delay(20);
    return undefined;
  };
  const asOperator = (path: string, options: HttpRequestOptions): Promise<HttpReply | undefined> =>
    call(path, { ...options, headers: { 'X-Exosite-Token': TOKEN } });
  const devices = await Promise.all(
    Array.from({ length: gateways }, async (_, n): Promise<Gateway> => {
      const operator = operatorCalls(urls[0] ?? '', TOKEN);
      await operator.addDevice(PRODUCT, `${name}-${n}`);
      const cik = await operator.activate(PRODUCT, `${name}-${n}`);
      const commands = { commanded: 0, asked: new Map(), carriedOut: new Map(), open: undefined };
      return { cik, sent: 0, acknowledged: 0, ...commands };
    }),
  );

  const writeOnce = async (gateway: Gateway): Promise<void> => {
    const n = ++gateway.sent;
    const body = `ctr=${n}&device_info=${'x'.repeat(1500)}`;
    const reply = await call(`${ALIAS}?engine_fetch`, { method: 'POST', headers: cikOf(gateway), body });
    if (reply === undefined) return;
    gateway.acknowledged = n;
    counts.writes++;
    await take(gateway, commandIn(reply));
  };
  /** As an agent does: writes it down, then empties the alias and reads it back in one request. */
  const take = async (gateway: Gateway, command: number | undefined): Promise<void> => {
    if (command === undefined) return;
    if (command !== gateway.open) carryOut(gateway, command);
    const cleared = await call(`${ALIAS}?engine_fetch`, {
      method: 'POST',
      headers: cikOf(gateway),
      body: 'engine_fetch=',
    });
    if (cleared !== undefined) gateway.open = undefined;
  };
  const carryOut = (gateway: Gateway, command: number): void => {
    gateway.open = command;
    const [times, asked] = [(gateway.carriedOut.get(command) ?? 0) + 1, gateway.asked.get(command) ?? 0];
    gateway.carriedOut.set(command, times);
    if (times > asked) faults.push(`command ${command}, sent ${asked} times, was carried out ${times} times`);
  };
  const commandOnce = async (gateway: Gateway, at: number): Promise<void> => {
    const next = gateway.commanded + 1;
    gateway.asked.set(next, (gateway.asked.get(next) ?? 0) + 1);
    const values = `/gwe/v1/products/${PRODUCT}/devices/${name}-${at}/values`;
    const reply = await asOperator(values, { method: 'POST', body: `engine_fetch=${next}` });
    if (reply === undefined) return;
    assert.equal(reply.status, 204, reply.body);
    gateway.commanded = next;
    counts.commands++;
    // The next one would take the place of this one.
    while (!gateway.carriedOut.has(next) && !isStopped) await delay(2);
  };
  const uploadOnce = async (n: number): Promise<void> => {
    const bytes = randomBytes(20_000 + Math.floor(Math.random() * 200_000));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const id = `${name}-c${n % 5}`;
    const path = `/gwe/v1/products/${PRODUCT}/content/${id}?sha256=${sha256}`;
    const reply = await asOperator(path, { method: 'PUT', body: bytes });
    // Whether it was stored when its answer is missing nobody knows.
    if (reply === undefined) contents.get(id)?.add(sha256);
    else {
      assert.equal(reply.status, 200, reply.body);
      contents.set(id, new Set([sha256]));
      counts.uploads++;
    }
  };
  const activateOnce = async (serial: string): Promise<void> => {
    const enable = `/provision/manage/model/${PRODUCT}/${serial}`;
    if ((await asOperator(enable, { method: 'POST', body: 'enable=true' })) === undefined) return;
    const body = `vendor=${PRODUCT}&model=${PRODUCT}&sn=${serial}`;
    const reply = await call('/provision/activate', { method: 'POST', body });
    if (reply?.status !== 200) return;
    activated.set(serial, reply.body);
    counts.activations++;
  };
  const loop = async (once: () => Promise<void>): Promise<void> => {
    while (!isStopped) await once();
  };
  let serials = 0;
  return {
    counts,
    start() {
      isStopped = false;
      working = [
        ...devices.map((gateway) => loop(() => writeOnce(gateway))),
        ...devices.slice(0, 4).map((gateway, at) => loop(() => commandOnce(gateway, at))),
        ...(uploads ? [loop(() => uploadOnce(serials++))] : []),
        loop(() => activateOnce(`${name}-new-${serials++}`)),
      ];
    },
    async stop() {
      isStopped = true;
      await Promise.all(working);
    },
    async progress() {
      const before = devices.map(({ acknowledged }) => acknowledged);
      await until(() => devices.every(({ acknowledged }, at) => acknowledged > (before[at] ?? 0)));
    },
    async verify() {
      const read = async (path: string, headers: Record<string, string>): Promise<HttpReply> => {
        let found: HttpReply | undefined;
        await until(async () => {
          found = await call(path, { headers });
          return found !== undefined;
        });
        assert.ok(found !== undefined);
        return found;
      };
      for (const gateway of devices) {
        const found = Number(/^ctr=(\d+)$/.exec((await read(`${ALIAS}?ctr`, cikOf(gateway))).body)?.[1] ?? 0);
        if (found < gateway.acknowledged || found > gateway.sent)
          faults.push(`counter ${found}: acknowledged ${gateway.acknowledged}, sent ${gateway.sent}`);
        await take(gateway, commandIn(await read(`${ALIAS}?engine_fetch`, cikOf(gateway))));
        for (let n = 1; n <= gateway.commanded; n++)
          if (!gateway.carriedOut.has(n)) faults.push(`command ${n} of ${gateway.commanded} was never shown`);
      }
      const device = cikOf(devices[0]);
      for (const [id, known] of contents) {
        const { status, bytes } = await read(`/provision/download?id=${id}`, device);
        const sha256 = createHash('sha256').update(bytes).digest('hex');
        if (status !== 200 || !known.has(sha256)) faults.push(`content ${id} is not what was acknowledged`);
        contents.set(id, new Set([sha256]));
      }
      for (const [serial, cik] of [...activated].slice(-30)) {
        const { status } = await read(`${ALIAS}?x`, { 'X-Exosite-CIK': cik });
        if (status !== 204) faults.push(`the key of ${serial} opens nothing: ${status}`);
      }
      assert.deepEqual(faults, []);
    },
  };
}

function cikOf(gateway: Gateway | undefined): Record<string, string> {
  return { 'X-Exosite-CIK': gateway?.cik ?? '' };
}

function commandIn({ body }: HttpReply): number | undefined {
  const found = /^engine_fetch=(\d+)$/.exec(body)?.[1];
  return found === undefined ? undefined : Number(found);
}
