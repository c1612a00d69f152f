/** The set options: all are checked before any is written, and the resulting files are shown. */
import { accessSync, constants, existsSync } from 'node:fs';
import { readDevice } from '../../agent/run/device-key.ts';
import { interfaceMac } from '../../agent/run/identity.ts';
import { describeError, GweError } from '../../base/errors.ts';
import {
  type DeviceConfig,
  loadEngineConfig,
  loadGatewayConfig,
  renderEngineConfig,
  renderGatewayConfig,
  saveEngineConfig,
  saveGatewayConfig,
  shareKey,
  unquote,
  withoutSecrets,
} from '../../config/config-files.ts';
import { ENGINE_SETTINGS, type EngineSettings } from '../../config/schema.ts';
import { decodeSetting } from '../../config/setting.ts';
import type { Layout } from '../../store/layout.ts';
import type { CommandIo, ParsedOptions } from '../shell/command.ts';
import { nearestWord } from '../shell/parse.ts';
import { changeIdentity, readCik, readKeyWish } from './configure-key.ts';

interface Changes {
  device: Partial<DeviceConfig>;
  engine: Partial<EngineSettings>;
}

/** The level that --set-debug-level names. Throws USAGE_BAD_VALUE. */
export function readDebugLevel(options: ParsedOptions): EngineSettings['debugLevel'] | undefined {
  const text = options.text('set-debug-level');
  if (text === undefined) return undefined;
  const wanted = unquote(text).toUpperCase();
  const level = ENGINE_SETTINGS.debugLevel.choices.find((choice) => choice === wanted);
  if (level !== undefined) return level;
  const expected = ENGINE_SETTINGS.debugLevel.choices.join(', ');
  throw new GweError(
    'USAGE_BAD_VALUE',
    `--set-debug-level: found '${text.slice(0, 60)}', expected one of ${expected}; nothing was done`,
  );
}

/** Options that set one engine setting each. */
const ENGINE_OPTIONS: Readonly<Record<string, keyof EngineSettings>> = {
  'set-update-interval': 'updateIntervalS',
  'set-act-retry-interval': 'activationRetryS',
  'set-debug-level': 'debugLevel',
  'set-user-agent': 'userAgent',
  'set-platform-url': 'platformUrl',
  'set-ca-file': 'caFile',
  'set-client-cert': 'clientCertFile',
  'set-client-key': 'clientKeyFile',
};

const DEVICE_OPTIONS: Readonly<Record<string, keyof DeviceConfig>> = {
  'set-vendor': 'vendor',
  'set-model': 'model',
  'set-uuid': 'uuid',
  'set-iface': 'iface',
  'set-cik': 'cik',
};

/** Carries out every set option. Returns false if there was none. Throws USAGE_BAD_VALUE with nothing changed. */
export function configure(io: CommandIo, options: ParsedOptions, layout: Layout): boolean {
  const changes = readChanges(options);
  const hasDevice = Object.keys(changes.device).length > 0;
  const hasEngine = Object.keys(changes.engine).length > 0;
  const { cik, ...device } = changes.device;
  const hasUrl = changes.engine.platformUrl !== undefined;
  const wish = readKeyWish(options, cik, hasUrl);
  if (!hasDevice && !hasEngine) return false;
  requireStorable(changes, layout);
  const save = (): void => {
    if (hasDevice) saveGatewayConfig(layout.gatewayConfig, device);
    if (hasEngine) saveEngineConfig(layout.engineConfig, changes.engine);
  };
  if (hasDevice || hasUrl) changeIdentity(io, layout, wish, save);
  else save();
  const unshared = shareKey(layout);
  if (unshared !== undefined) io.stderr(`gwe: warning: ${unshared}\n`);
  if (hasDevice) io.stdout(showGatewayConfig(layout));
  if (hasEngine) io.stdout(showEngineConfig(layout));
  if (changes.device.iface !== undefined && changes.device.iface !== '')
    sayInterface(io, changes.device.iface, layout);
  return true;
}

/** Both files are tried before either is written: a value that one cannot hold changes nothing in the other. */
function requireStorable({ device, engine }: Changes, layout: Layout): void {
  try {
    renderGatewayConfig(layout.gatewayConfig, device);
    renderEngineConfig(layout.engineConfig, engine);
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'CONFIG_INVALID') throw error;
    throw new GweError('USAGE_BAD_VALUE', `${describeError(error)}; nothing was changed`);
  }
}

export function showGatewayConfig(layout: Layout): string {
  return withNewline(loadGatewayConfig(layout.gatewayConfig).text);
}

export function showEngineConfig(layout: Layout): string {
  return withNewline(withoutSecrets(loadEngineConfig(layout.engineConfig).text));
}

/** `''` before activation, as the original printed it: apps call this and trim. */
export function showCik(layout: Layout): string {
  const { platformUrl } = loadEngineConfig(layout.engineConfig).values;
  requireReadable(layout.gatewayConfig);
  const { cik } = readDevice({ layout, platformUrl });
  return `${cik === '' ? "''" : cik}\n`;
}

/** Apps of other users may want the key: the message says how to get it. */
function requireReadable(path: string): void {
  try {
    if (existsSync(path)) accessSync(path, constants.R_OK);
  } catch {
    throw new GweError(
      'STORE_IO',
      `cannot read '${path}': only its owner may read it; 'gwe --set cik_group=GROUP' lets a group do so`,
    );
  }
}

/** Throws STORE_IO for an interface that is not there, or gives no serial number. */
export function showMacAddress(layout: Layout, iface: string): string {
  const found = interfaceMac(iface, layout.root);
  if ('mac' in found) return `${found.mac}\n`;
  throw new GweError('STORE_IO', `cannot read the MAC of interface '${iface}': ${found.problem}`);
}

function readChanges(options: ParsedOptions): Changes {
  const device: Partial<DeviceConfig> = {};
  const product = options.text('set-product-id');
  if (product !== undefined)
    device.vendor = device.model = checkDeviceValue('set-product-id', unquote(product));
  for (const [name, key] of Object.entries(DEVICE_OPTIONS)) {
    const text = options.text(name);
    if (text === undefined) continue;
    const value = checkDeviceValue(name, unquote(name === 'set-cik' ? readCik(text) : text));
    if (product !== undefined && (key === 'vendor' || key === 'model') && device[key] !== value) {
      throw new GweError(
        'USAGE_BAD_VALUE',
        `--set-product-id '${device[key]}' and --${name} '${value}' contradict each other; nothing was changed`,
      );
    }
    device[key] = value;
  }
  return { device, engine: readEngineChanges(options) };
}

function readEngineChanges(options: ParsedOptions): Partial<EngineSettings> {
  const engine: Record<string, string | number | boolean> = {};
  for (const [name, setting] of Object.entries(ENGINE_OPTIONS)) {
    const text = options.text(name);
    if (text === undefined) continue;
    const value = unquote(text);
    const spec = ENGINE_SETTINGS[setting];
    const decoded = value === '' && spec.type === 'text' ? { value: '' } : decodeSetting(spec, value);
    if ('problem' in decoded)
      throw new GweError('USAGE_BAD_VALUE', `--${name}: ${decoded.problem}; nothing was changed`);
    checkEngineValue(name, value);
    engine[setting] = decoded.value;
  }
  for (const assignment of options.list('set')) {
    for (const [setting, value] of Object.entries(decodeAssignment(assignment))) {
      const before = engine[setting];
      if (before !== undefined && before !== value) throw twoValues(assignment, before);
      engine[setting] = value;
    }
  }
  return engine as Partial<EngineSettings>;
}

function twoValues(assignment: string, before: string | number | boolean): GweError {
  return new GweError(
    'USAGE_BAD_VALUE',
    `--set: '${assignment}' and another option that says '${before}' contradict each other; nothing was changed`,
  );
}

/** `KEY=VALUE` with a key of Engine.config. */
function decodeAssignment(text: string): Record<string, string | number | boolean> {
  const equals = text.indexOf('=');
  const key = text.slice(0, equals === -1 ? undefined : equals);
  const keys = Object.values(ENGINE_SETTINGS).map((spec) => spec.key);
  const [name, spec] = Object.entries(ENGINE_SETTINGS).find(([, candidate]) => candidate.key === key) ?? [];
  if (name === undefined || spec === undefined) {
    const nearest = nearestWord(key, keys);
    const hint = nearest === undefined ? `expected one of ${keys.join(', ')}` : `did you mean ${nearest}?`;
    throw new GweError('USAGE_BAD_VALUE', `--set: unknown key '${key}', ${hint}; nothing was changed`);
  }
  if (equals === -1)
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--set: found '${text}', expected ${key}=VALUE; nothing was changed`,
    );
  const value = unquote(text.slice(equals + 1));
  const decoded = value === '' ? { value: spec.default } : decodeSetting(spec, value);
  if ('problem' in decoded)
    throw new GweError('USAGE_BAD_VALUE', `--set: ${decoded.problem}; nothing was changed`);
  return { [name]: decoded.value };
}

function checkDeviceValue(option: string, value: string): string {
  if (option === 'set-cik' && value !== '' && !/^[0-9A-Za-z]{40}$/.test(value)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--set-cik: found ${value.length} characters, expected a key of 40 letters and digits; nothing was changed`,
    );
  }
  if (option === 'set-product-id' && value === '') {
    throw new GweError(
      'USAGE_BAD_VALUE',
      '--set-product-id: found nothing, expected a product id; nothing was changed',
    );
  }
  if (/\p{Cc}/u.test(value))
    throw new GweError('USAGE_BAD_VALUE', `--${option}: found a control character; nothing was changed`);
  return value;
}

function checkEngineValue(option: string, value: string): void {
  if (value === '') return;
  if (option === 'set-platform-url' && !isHttpUrl(value)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--set-platform-url: found '${value}', expected https://HOST[:PORT]; nothing was changed`,
    );
  }
  const isFile = ['set-ca-file', 'set-client-cert', 'set-client-key'].includes(option);
  if (isFile && !existsSync(value)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--${option}: found '${value}', expected a file that exists; nothing was changed`,
    );
  }
}

function isHttpUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return (protocol === 'https:' || protocol === 'http:') && hostname !== '';
}

/** An interface that does not exist is a warning: it may be plugged in later. */
function sayInterface(io: CommandIo, iface: string, layout: Layout): void {
  const found = interfaceMac(iface, layout.root);
  if ('problem' in found) {
    io.stderr(
      `gwe: warning: interface '${iface}' gives no serial number: ${found.problem}; it is saved, and gwe will try again\n`,
    );
  } else if (loadEngineConfig(layout.engineConfig).values.debugLevel === 'DEBUG') {
    io.stdout(`Found interface '${iface}' with MAC address (serial/uuid): ${found.mac}\n`);
  }
}

function withNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
