/** The meaning of rows of devices, whatever database they are in. */
import { createHash } from 'node:crypto';
import type { Device, DeviceState } from './device-storage.ts';

/** `enabled_at` of a serial number that was added and never enabled. */
export const NEVER_ENABLED = 0;

/** Only a digest of a key is stored: a stolen database gives no access, and the time of a look-up reveals nothing. */
export function hashKey(cik: string): string {
  return createHash('sha256').update(cik).digest('hex');
}

/** The state of a row; throws for a value that no row may have. */
export function toDeviceState(
  state: unknown,
  { enabledAt, isLapsed }: { enabledAt: number; isLapsed: boolean },
): DeviceState {
  if (enabledAt === NEVER_ENABLED) return 'unused';
  if (state === 'notactivated') return isLapsed ? 'expired' : state;
  if (state === 'activated' || state === 'expired') return state;
  throw new Error(`unexpected device state ${JSON.stringify(state)} in the database`);
}

/** The same for rows that are counted together: the query has already decided which are `unused` or `lapsed`. */
export function countedState({ state, unused, lapsed }: Readonly<Record<string, unknown>>): DeviceState {
  const isTrue = (value: unknown): boolean => value === true || Number(value) === 1;
  return toDeviceState(state, { enabledAt: isTrue(unused) ? NEVER_ENABLED : 1, isLapsed: isTrue(lapsed) });
}

type Activatable = Pick<Device, 'state' | 'reactivateUntil'>;

/** Whether the device may be activated now, and the entry for its log. */
export function judgeActivation(
  { state, reactivateUntil }: Activatable,
  nowSeconds: number,
): { isAllowed: boolean; isAgain: boolean; entry: string } {
  if (state === 'notactivated') return { isAllowed: true, isAgain: false, entry: 'activated' };
  const isAgain = reactivateUntil > nowSeconds;
  const entry = isAgain ? 'activated again after a restore' : `refused: it is ${state}`;
  return { isAllowed: isAgain, isAgain, entry };
}
