/**
 * Whose the device's key is. A key belongs to one serial number of one product on one platform: where these change it
 * is set aside and not sent to anybody, and when they come back so does the key. Gateway.cfg alone does not tell, for
 * it may be edited by hand: beside it stands for whom its key was got.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { readWhenChanged } from '../../base/edited-file.ts';
import { type StoredFile, storedFile } from '../../base/stored-file.ts';
import {
  createGatewayConfigReader,
  type DeviceConfig,
  loadGatewayConfig,
  saveGatewayConfig,
} from '../../config/config-files.ts';
import type { Layout } from '../../store/layout.ts';
import type { AgentContext } from './context.ts';
import { interfaceMac } from './identity.ts';

const IdentitySchema = v.object({
  platform: v.string(),
  vendor: v.string(),
  model: v.string(),
  /** Empty while the interface that it comes from is not there. */
  serial: v.string(),
});
export type Identity = v.InferOutput<typeof IdentitySchema>;

const KeysSchema = v.object({
  version: v.literal(1),
  /** For whom the key of Gateway.cfg is; absent until that has been seen. */
  bound: v.optional(v.object({ identity: IdentitySchema, keyDigest: v.string() })),
  /** Keys of former identities, the latest last. */
  aside: v.array(v.object({ identity: IdentitySchema, cik: v.string() })),
  /** Keys that were replaced by the platform, of whatever identity, the oldest first: the platform may have lied. */
  former: v.optional(v.array(v.object({ identity: IdentitySchema, cik: v.string() }))),
});
type Keys = v.InferOutput<typeof KeysSchema>;

const LARGEST_KEYS_BYTES = 256 * 1024;
const MOST_ASIDE = 32;
/** How many former keys of one identity are kept: each costs a request when the platform refuses the one in use. */
const MOST_FORMER = 4;

/** What is configured: where, and in which files. */
export interface KeyPlace {
  layout: Pick<Layout, 'deviceKeys' | 'gatewayConfig' | 'root'>;
  /** `platform_url`; empty for the default. */
  platformUrl: string;
}

/** The URL of the platform by the configuration. */
export function platformUrlOf(platformUrl: string, model: string): string {
  return platformUrl === '' ? `https://${model}.m2.exosite.io` : platformUrl;
}

/** Two spellings of one address are one. */
function normalUrl(text: string): string {
  return URL.canParse(text) ? new URL(text).href.replace(/\/+$/, '') : text;
}

export function identityOf({ layout, platformUrl }: KeyPlace, device: DeviceConfig): Identity {
  const { vendor, model, uuid, iface } = device;
  const found = uuid === '' && iface !== '' ? interfaceMac(iface, layout.root) : undefined;
  const serial = found !== undefined && 'mac' in found ? found.mac : uuid;
  return { platform: normalUrl(platformUrlOf(platformUrl, model)), vendor, model, serial };
}

/** A short text that differs for each identity. */
export function identityMark(context: Pick<AgentContext, 'layout' | 'settings' | 'device'>): string {
  const { layout, settings, device } = context;
  const identity = identityOf({ layout, platformUrl: settings().platformUrl }, device());
  return digestOf(JSON.stringify(identity)).slice(0, 16);
}

export function isSameIdentity(a: Identity, b: Identity): boolean {
  return a.platform === b.platform && isSameDevice(a, b);
}

function isSameDevice(a: Identity, b: Identity): boolean {
  return a.vendor === b.vendor && a.model === b.model && a.serial === b.serial;
}

/** Gateway.cfg, with its key only where that is of the identity that is configured now. Writes nothing. */
export function readDevice(place: KeyPlace): DeviceConfig {
  const device = loadGatewayConfig(place.layout.gatewayConfig).values;
  return withOwnKey(place, device, () => readKeys(place));
}

/** As `readDevice`, for somebody who asks again and again: files are read where they were changed. */
export function createDeviceReader(layout: KeyPlace['layout']): (platformUrl: string) => DeviceConfig {
  const device = createGatewayConfigReader(layout.gatewayConfig);
  const kept = readWhenChanged(layout.deviceKeys, () => keysFile({ layout }).read());
  return (platformUrl) => withOwnKey({ layout, platformUrl }, device(), () => orNoKeys(kept));
}

function withOwnKey(place: KeyPlace, device: DeviceConfig, keys: () => Keys): DeviceConfig {
  if (device.cik === '' || isUsable(keys(), device.cik, identityOf(place, device))) return { ...device };
  return { ...device, cik: '' };
}

/** A key that is new in the file is of whoever is configured now: somebody has put it there. */
function isUsable({ bound, aside }: Keys, cik: string, identity: Identity): boolean {
  if (bound?.keyDigest === digestOf(cik)) return isSameIdentity(bound.identity, identity);
  return !aside.some((one) => one.cik === cik && !isSameIdentity(one.identity, identity));
}

/**
 * Has Gateway.cfg hold the key of the identity that is configured now, or none, and the others set aside. To be called
 * before and after a change of the configuration, and now and then, for a change by hand. True if the key is another.
 */
export function settleKey(place: KeyPlace): boolean {
  const { cik, ...device } = loadGatewayConfig(place.layout.gatewayConfig).values;
  const identity = identityOf(place, { ...device, cik });
  const keys = readKeys(place);
  if (cik !== '' && isUsable(keys, cik, identity)) {
    if (keys.bound?.keyDigest !== digestOf(cik)) bind(place, keys, identity, cik);
    return false;
  }
  const former = cik !== '' && keys.bound?.keyDigest === digestOf(cik) ? [{ ...keys.bound, cik }] : [];
  const left = [...keys.aside, ...former.map((one) => ({ identity: one.identity, cik }))];
  const own = left.find((one) => isSameIdentity(one.identity, identity));
  if (own === undefined && cik === '') return false;
  // The key leaves Gateway.cfg last: until then it is known to be somebody else's.
  const rest: Keys = { version: 1, aside: left, former: keys.former };
  if (own === undefined) writeKeys(place, rest);
  else bind(place, rest, identity, own.cik);
  saveGatewayConfig(place.layout.gatewayConfig, { cik: own?.cik ?? '' });
  return true;
}

/** `cik` is of `identity` from now on; where that is the one configured it stands in Gateway.cfg afterwards. */
export function keepKey(place: KeyPlace, identity: Identity, cik: string): void {
  const keys = readKeys(place);
  const device = loadGatewayConfig(place.layout.gatewayConfig).values;
  if (isSameIdentity(identity, identityOf(place, device))) {
    const isReplaced = device.cik !== cik && device.cik !== '' && isUsable(keys, device.cik, identity);
    const former = withFormer(keys, identity, { taken: cik, replaced: isReplaced ? device.cik : undefined });
    bind(place, { ...keys, aside: keys.aside.filter((one) => one.cik !== cik), former }, identity, cik);
    saveGatewayConfig(place.layout.gatewayConfig, { cik });
  } else {
    // The configuration was changed while the platform was being asked.
    writeKeys(place, { ...keys, aside: [...keys.aside, { identity, cik }] });
  }
}

/** Keys of the identity that is configured now which the platform has replaced, the oldest first. */
export function formerKeys(place: KeyPlace): { identity: Identity; ciks: string[] } {
  const identity = identityOf(place, loadGatewayConfig(place.layout.gatewayConfig).values);
  const own = (readKeys(place).former ?? []).filter((one) => isSameIdentity(one.identity, identity));
  return { identity, ciks: own.map(({ cik }) => cik) };
}

/**
 * Keeps the oldest and the newest: a platform that hands out one false key after another must not push out the real
 * one.
 */
function withFormer(
  { former = [] }: Keys,
  identity: Identity,
  change: { taken: string; replaced: string | undefined },
): NonNullable<Keys['former']> {
  const left = former.filter(({ cik }) => cik !== change.taken && cik !== change.replaced);
  const all = change.replaced === undefined ? left : [...left, { identity, cik: change.replaced }];
  const own = all.filter((one) => isSameIdentity(one.identity, identity));
  const kept = new Set([...own.slice(0, MOST_FORMER / 2), ...own.slice(-MOST_FORMER / 2)]);
  return all.filter((one) => kept.has(one) || !isSameIdentity(one.identity, identity)).slice(-MOST_ASIDE);
}

/** The key of this device for another address of its platform: the one in use, or the latest one set aside. */
export function keyToCarry(place: KeyPlace): string | undefined {
  const { cik, ...device } = readDevice(place);
  if (cik !== '') return cik;
  const identity = identityOf(place, { ...device, cik });
  return readKeys(place).aside.findLast((one) => isSameDevice(one.identity, identity))?.cik;
}

function bind(place: KeyPlace, keys: Keys, identity: Identity, cik: string): void {
  const aside = keys.aside.filter((one) => !isSameIdentity(one.identity, identity));
  // Whose it is cannot be said before this gateway is set up: it counts, and is bound when there is somebody.
  const { vendor, model, serial } = identity;
  const isKnown = cik !== '' && ![vendor, model, serial].includes('');
  if (!isKnown && aside.length === keys.aside.length && keys.bound === undefined) return;
  const bound = isKnown ? { bound: { identity, keyDigest: digestOf(cik) } } : {};
  writeKeys(place, { version: 1, aside, former: keys.former, ...bound });
}

/** With a copy: what was set aside is nowhere else. */
export function keysFile({ layout }: { layout: Pick<Layout, 'deviceKeys'> }): StoredFile<Keys> {
  const format = { schema: KeysSchema, limitBytes: LARGEST_KEYS_BYTES, mode: 0o600, copy: {} };
  return storedFile<Keys>(layout.deviceKeys, format);
}

/** Where it is damaged the key of Gateway.cfg is of whoever is configured: a gateway that is silent would be worse. */
function readKeys(place: KeyPlace): Keys {
  return orNoKeys(() => keysFile(place).read());
}

function orNoKeys(read: () => Keys | undefined): Keys {
  const none: Keys = { version: 1, aside: [] };
  try {
    return read() ?? none;
  } catch {
    return none;
  }
}

function writeKeys(place: KeyPlace, keys: Keys): void {
  keysFile(place).write({ ...keys, aside: keys.aside.slice(-MOST_ASIDE) });
}

function digestOf(cik: string): string {
  return createHash('sha256').update(cik).digest('hex');
}
