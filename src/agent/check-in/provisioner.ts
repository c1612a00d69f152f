/**
 * The device's key: requested when there is none or the stored one is refused, never thrown away (one-platform.md
 * §2.2).
 */
import { describeError, GweError } from '../../base/errors.ts';
import { assertWritable } from '../../base/fs.ts';
import { createDataApi, type DataApi } from '../../protocol/data.ts';
import { INTERVAL_ALIAS } from '../../protocol/messages.ts';
import { provision } from '../../protocol/provision.ts';
import type { Transport } from '../../protocol/transport-types.ts';
import type { AgentContext } from '../run/context.ts';
import { formerKeys, identityOf, type KeyPlace, keepKey, settleKey } from '../run/device-key.ts';
import { requireProduct, storeSerial } from '../run/identity.ts';

/** More than Gateway.cfg with a key needs. */
const KEY_ROOM_BYTES = 16 * 1024;

/** How long a stop waits for an answer to an activation; supervisord kills after 10 s by default. */
const STOP_GRACE_MS = 5000;

/**
 * Aborts a while after `signal`: the platform gives a key out once, so hanging up in the middle would leave a gateway
 * that has none and gets 409 until somebody enables it again.
 */
function lateSignal(context: Pick<AgentContext, 'clock'>, signal: AbortSignal): AbortSignal {
  const late = new AbortController();
  const abortLater = (): void => void context.clock.sleep(STOP_GRACE_MS).then(() => late.abort());
  if (signal.aborted) abortLater();
  else signal.addEventListener('abort', abortLater, { once: true });
  return late.signal;
}

function keyPlace({ layout, settings }: Pick<AgentContext, 'layout' | 'settings'>): KeyPlace {
  return { layout, platformUrl: settings().platformUrl };
}

/**
 * Makes durable whose key is stored, and adopts what was edited by hand. A disk that cannot be written changes
 * nothing about which key is sent to whom.
 */
export function settleIdentity(context: AgentContext): void {
  try {
    if (!settleKey(keyPlace(context))) return;
    const { model, uuid, cik } = context.device();
    const what = cik === '' ? 'its key is requested' : 'its key is back';
    context.log.info(
      'identity.changed',
      { serial: uuid, product: model },
      `the identity of this gateway has changed: ${what}; the former key is set aside`,
    );
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    context.log.warn('identity.key', {}, describeError(error));
  }
}

/**
 * A key that the platform once replaced is in use again if it takes it: whoever answered as the platform for a while
 * has left a key behind that nobody else knows. False if none is taken.
 */
export async function takeUpFormerKey(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'settings'>,
  transport: Transport,
  signal: AbortSignal,
): Promise<boolean> {
  const place = keyPlace(context);
  const { identity, ciks } = formerKeys(place);
  for (const cik of ciks) {
    const data = createDataApi(transport, () => cik, { clock: context.clock, signal });
    if (!(await isTaken(data))) continue;
    keepKey(place, identity, cik);
    context.log.warn('provision.key-back', {}, 'a key that the platform had replaced is in use again');
    return true;
  }
  return false;
}

async function isTaken(data: Pick<DataApi, 'readAliases'>): Promise<boolean> {
  try {
    await data.readAliases([INTERVAL_ALIAS]);
    return true;
  } catch (error) {
    if (error instanceof GweError && error.code === 'PROTOCOL_UNAUTHORIZED') return false;
    throw error;
  }
}

/**
 * Asks the platform for a key and stores it. False if the platform refuses one for now: the stored key, if there is
 * one, stays in use. Throws PROTOCOL_* when there is no answer, STORE_NO_SPACE or
 * CONFIG_UNWRITABLE without asking where the key could not be stored: the platform gives it out once.
 */
export async function activateKey(
  context: Pick<AgentContext, 'layout' | 'clock' | 'log' | 'settings' | 'device'>,
  transport: Transport,
  signal: AbortSignal,
): Promise<boolean> {
  const device = context.device();
  const { vendor, model } = requireProduct(device);
  assertWritable(context.layout.gatewayConfig, KEY_ROOM_BYTES);
  const serial = storeSerial(context);
  const place = keyPlace(context);
  const identity = identityOf(place, context.device());
  const result = await provision(
    transport,
    { vendor, model, serial, style: context.settings().activationStyle },
    { clock: context.clock, signal: lateSignal(context, signal), setUpSignal: signal },
  );
  if (result.kind === 'refused') {
    const next = `asking again in ${context.settings().activationRetryS} s`;
    const kept = device.cik === '' ? '' : ', the stored key stays in use';
    context.log.warn(
      'provision.refused',
      { serial, product: model, status: result.status },
      `${result.reason}${kept}; ${next}`,
    );
    return false;
  }
  keepKey(place, identity, result.cik);
  context.log.info('provision.done', { serial, product: model });
  return true;
}
