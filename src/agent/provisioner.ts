/** The device's key: asked for when there is none or the stored one is refused, never thrown away (spec §2.2). */
import { assertWritable } from '../base/fs.ts';
import { saveGatewayConfig } from '../config/files.ts';
import { provision } from '../protocol/provision.ts';
import type { Transport } from '../protocol/transport.ts';
import type { AgentContext } from './context.ts';
import { requireProduct, storeSerial } from './identity.ts';

/** More than Gateway.cfg with a key needs. */
const KEY_ROOM_BYTES = 16 * 1024;

/** How long a stop waits for an answer to an activation; supervisord kills after 10 s by default. */
const STOP_GRACE_MS = 5000;

/**
 * Aborts a while after `signal`: the platform gives a key out once, so hanging up in the middle would leave a gateway
 * that has none and is told 409 until somebody enables it again.
 */
function lateSignal(context: AgentContext, signal: AbortSignal): AbortSignal {
  const late = new AbortController();
  const abortLater = (): void => void context.clock.sleep(STOP_GRACE_MS).then(() => late.abort());
  if (signal.aborted) abortLater();
  else signal.addEventListener('abort', abortLater, { once: true });
  return late.signal;
}

/**
 * Asks the platform for a key and stores it. False if the platform refuses one for now: the stored key, if there is
 * one, stays in use. Throws PROTOCOL_* when there is no answer, STORE_NO_SPACE or
 * CONFIG_UNWRITABLE without asking where the key could not be stored: the platform gives it out once.
 */
export async function activateKey(
  context: AgentContext,
  transport: Transport,
  signal: AbortSignal,
): Promise<boolean> {
  const device = context.device();
  const { vendor, model } = requireProduct(device);
  assertWritable(context.layout.gatewayConfig, KEY_ROOM_BYTES);
  const serial = storeSerial(context);
  const style = context.settings().activationStyle === 'id' ? 'id' : 'triple';
  const result = await provision(
    transport,
    { vendor, model, serial, style },
    { clock: context.clock, signal: lateSignal(context, signal) },
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
  saveGatewayConfig(context.layout.gatewayConfig, { cik: result.cik });
  context.log.info('provision.done', { serial, product: model });
  return true;
}
