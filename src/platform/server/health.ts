/** Whether this process lives (`/healthz`) and should be sent requests (`/readyz`), and its metrics (`/metrics`). */
import type { Clock } from '../../base/clock.ts';
import { type Exchange, Refusal, type Reply, requireMethod, textReply } from '../http/exchange.ts';
import { type Entrance, enterManagement, enterOperators } from '../management/entrance.ts';
import type { Storage } from '../storage/storage.ts';
import type { Measures } from './measures.ts';

export interface Health {
  /** Answers one of the three; `undefined` for any other path. */
  serve(entrance: Entrance, exchange: Exchange): Promise<Reply> | undefined;
}

interface Context {
  storage: Pick<Storage, 'ping'>;
  measures: Measures;
  clock: Clock;
  isDraining(): boolean;
}

const PING_MS = 2000;
/** The shortest time between two queries to the database, since anybody may ask. */
const PING_EVERY_MS = 1000;
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export function createHealth(context: Context): Health {
  const { measures, clock, isDraining } = context;
  let asked: Promise<boolean> | undefined;
  let askedAtMs = Number.NEGATIVE_INFINITY;
  const isStorageWell = (): Promise<boolean> => {
    const now = clock.monotonicMs();
    if (asked !== undefined && now - askedAtMs < PING_EVERY_MS) return asked;
    askedAtMs = now;
    asked = answersSoon(context);
    return asked;
  };
  const ready = async (): Promise<Reply> => {
    if (isDraining()) return textReply(503, 'draining\n');
    return (await isStorageWell())
      ? textReply(200, 'ready\n')
      : textReply(503, 'the database does not answer\n');
  };
  const numbers = async (entrance: Entrance, exchange: Exchange): Promise<Reply> => {
    // The operators' own listener is closed to strangers; elsewhere the token is needed, since the metrics name
    // products.
    if (entrance.serves === 'all') enterManagement(entrance, exchange);
    else enterOperators(entrance, exchange);
    return textReply(200, await measures.render(), METRICS_TYPE);
  };
  return {
    serve(entrance, exchange) {
      const [name, ...rest] = exchange.segments;
      if (rest.length > 0 || (name !== 'healthz' && name !== 'readyz' && name !== 'metrics'))
        return undefined;
      if (exchange.method !== 'HEAD') requireMethod(exchange, 'GET');
      if (name === 'metrics') return numbers(entrance, exchange);
      return name === 'readyz' ? ready() : Promise.resolve(textReply(200, 'alive\n'));
    },
  };
}

async function answersSoon({ storage, clock }: Context): Promise<boolean> {
  const answered = new AbortController();
  const ping = storage.ping().then(
    () => true,
    () => false,
  );
  const late = clock.sleep(PING_MS, answered.signal).then(() => false);
  const isWell = await Promise.race([ping, late]);
  answered.abort();
  return isWell;
}

/**
 * The answer to operators when a process is about to end: another process, or this one restarted, will take the call.
 */
export function refuseWhileDraining(): Refusal {
  return new Refusal(503, 'cannot take this now: the platform is about to end', { 'retry-after': '5' });
}
