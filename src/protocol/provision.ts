/** Obtaining a device's key (one-platform.md §2.1-2.2). The platform calls it to activate. */
import type { Clock } from '../base/clock.ts';
import { GweError } from '../base/errors.ts';
import { isSuccess, statusError } from './answer.ts';
import { encodeForm } from './codec.ts';
import type { Transport } from './transport-types.ts';

interface DeviceIdentity {
  vendor: string;
  model: string;
  serial: string;
  /** How we identify ourselves to the platform: vendor, model and sn (One Platform, Murano) or `id` alone (Device2). */
  style: 'triple' | 'id';
}

type ProvisionResult =
  | { kind: 'provisioned'; cik: string }
  /** No key for now. A key that is stored stays in use; ask again after the activation-retry interval. */
  | { kind: 'refused'; status: number; reason: string };

const CIK = /^[0-9A-Za-z]{40}$/;

const REFUSALS: Readonly<Record<number, string>> = {
  401: 'the platform could not read or store this device (status 401)',
  403: 'this product or device is not known to the platform (status 403)',
  404: 'this serial number is not on the list of the product (status 404); add it on the platform',
  409: 'the serial number is already activated or not enabled for activation (status 409); enable it again on the platform',
};

/**
 * Asks for the key. Refusals are results; throws PROTOCOL_GARBAGE for a 200 whose body is no key (the body is never
 * shown: it may hold one), else as the transport and `statusError` say.
 */
export async function provision(
  transport: Transport,
  identity: DeviceIdentity,
  options: { clock: Pick<Clock, 'wallMs'>; signal?: AbortSignal; setUpSignal?: AbortSignal },
): Promise<ProvisionResult> {
  const { vendor, model, serial, style } = identity;
  const response = await transport.request({
    method: 'POST',
    path: '/provision/activate',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' },
    body: encodeForm(
      style === 'id'
        ? [['id', serial]]
        : [
            ['vendor', vendor],
            ['model', model],
            ['sn', serial],
          ],
    ),
    purpose: 'provision',
    maxBytes: 4096,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.setUpSignal === undefined ? {} : { setUpSignal: options.setUpSignal }),
  });
  const { status } = response;
  const reason = REFUSALS[status];
  if (reason !== undefined) return { kind: 'refused', status, reason };
  const doing = `activate device '${serial.slice(0, 64)}'`;
  if (!isSuccess(status)) throw statusError(doing, response, options.clock.wallMs());
  const cik = response.body.toString('latin1').trim();
  if (status === 200 && CIK.test(cik)) return { kind: 'provisioned', cik };
  throw new GweError(
    'PROTOCOL_GARBAGE',
    `cannot ${doing}: a body of ${cik.length} characters (status ${status}), expected a key of 40 letters and digits; no key is stored`,
    { facts: { status } },
  );
}
