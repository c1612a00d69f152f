/** Gateway.cfg and Engine.config (spec §4.8): read as the original wrote them; a rewrite keeps what it does not know. */

import { dirname } from 'node:path';
import { GweError } from '../base/errors.ts';
import { ensureDirectory, readTextBounded, writeFileDurable } from '../base/fs.ts';
import { iniValue, parseIni, setIniValue } from '../base/ini.ts';
import { decodeSetting, ENGINE_SETTINGS, type EngineSettings, type SettingValue } from './schema.ts';

const LARGEST_CONFIG_BYTES = 64 * 1024;
const DEVICE_SECTION = 'device';
const ENGINE_SECTION = 'engine';

/** Order and spelling of the original's file. */
export const DEVICE_KEYS = ['cik', 'model', 'vendor', 'uuid', 'iface'] as const;
export type DeviceKey = (typeof DEVICE_KEYS)[number];
export type DeviceConfig = Record<DeviceKey, string>;

/** The 63 bytes that a fresh Gateway.cfg has (spec §7, vector 46). */
export const FRESH_GATEWAY_CONFIG = `[${DEVICE_SECTION}]\n${DEVICE_KEYS.map((key) => `${key} = ''\n`).join('')}\n`;

const FRESH_ENGINE_CONFIG = `[${ENGINE_SECTION}]\n${(
  ['updateIntervalS', 'activationRetryS', 'userAgent', 'debugLevel'] as const
)
  .map((name) => `${ENGINE_SETTINGS[name].key} = ${renderValue(String(ENGINE_SETTINGS[name].default))}\n`)
  .join('')}\n`;

export interface LoadedConfig<T> {
  text: string;
  values: T;
  /** Lines and values that were not understood, one sentence each; defaults are used in their place. */
  problems: string[];
}

export function loadGatewayConfig(path: string): LoadedConfig<DeviceConfig> {
  const text = readTextBounded(path, LARGEST_CONFIG_BYTES) ?? FRESH_GATEWAY_CONFIG;
  const document = parseIni(text);
  const values = Object.fromEntries(
    DEVICE_KEYS.map((key) => [key, unquote(iniValue(document, DEVICE_SECTION, key) ?? '')]),
  ) as DeviceConfig;
  return {
    text,
    values,
    problems: document.problems.map((found) => `${path}:${found.line}: ${withoutKeys(found.message)}`),
  };
}

/** Writes Gateway.cfg with `changes`, mode 0600 because it holds the key. Returns the file's new text. */
export function saveGatewayConfig(path: string, changes: Partial<DeviceConfig>): string {
  const text = renderGatewayConfig(path, changes);
  writeConfig(path, text, 0o600);
  return text;
}

/** A line that is none of the file's may be the key, alone or with its name misspelt: problems go to the log. */
function withoutKeys(message: string): string {
  return message.replace(/[0-9A-Za-z]{24,}/g, '(left out)');
}

/** The text that `saveGatewayConfig` would write. Throws CONFIG_INVALID for a value that cannot be stored. */
export function renderGatewayConfig(path: string, changes: Partial<DeviceConfig>): string {
  let { text } = loadGatewayConfig(path);
  for (const key of DEVICE_KEYS) {
    const value = changes[key];
    if (value !== undefined) text = setChecked(text, DEVICE_SECTION, key, value);
  }
  return text;
}

export function loadEngineConfig(path: string): LoadedConfig<EngineSettings> {
  return decodeEngineConfig(path, readEngineConfig(path));
}

/**
 * Reads the file at each call, and decodes it where it is another one than before: in an update it is asked for hundreds
 * of times, and hardly ever is.
 */
export function createEngineConfigReader(path: string): () => LoadedConfig<EngineSettings> {
  let last: LoadedConfig<EngineSettings> | undefined;
  return () => {
    const text = readEngineConfig(path);
    if (last?.text !== text) last = decodeEngineConfig(path, text);
    return last;
  };
}

function readEngineConfig(path: string): string {
  return readTextBounded(path, LARGEST_CONFIG_BYTES) ?? FRESH_ENGINE_CONFIG;
}

function decodeEngineConfig(path: string, text: string): LoadedConfig<EngineSettings> {
  const document = parseIni(text);
  const problems = document.problems.map((found) => `${path}:${found.line}: ${found.message}`);
  const values: Record<string, SettingValue> = {};
  for (const [name, spec] of Object.entries(ENGINE_SETTINGS)) {
    const found = unquote(iniValue(document, ENGINE_SECTION, spec.key) ?? '');
    const decoded = found === '' ? { value: spec.default } : decodeSetting(spec, found);
    if ('problem' in decoded) problems.push(`${path}: ${decoded.problem}; using ${String(spec.default)}`);
    values[name] = 'problem' in decoded ? spec.default : decoded.value;
  }
  return { text, values: values as EngineSettings, problems };
}

/** Writes Engine.config with `changes` (already validated). Returns the file's new text. */
export function saveEngineConfig(path: string, changes: Partial<EngineSettings>): string {
  const text = renderEngineConfig(path, changes);
  writeConfig(path, text, 0o644);
  return text;
}

/** The text that `saveEngineConfig` would write. Throws CONFIG_INVALID for a value that cannot be stored. */
export function renderEngineConfig(path: string, changes: Partial<EngineSettings>): string {
  let { text } = loadEngineConfig(path);
  for (const [name, value] of Object.entries(changes)) {
    const spec = ENGINE_SETTINGS[name as keyof EngineSettings];
    text = setChecked(text, ENGINE_SECTION, spec.key, String(value));
  }
  return text;
}

/** Refuses a value that would read back as another one (line breaks, ` ;` comments, quotes around it). */
function setChecked(text: string, section: string, key: string, value: string): string {
  const changed = setIniValue(text, section, key, renderValue(value));
  if (unquote(iniValue(parseIni(changed), section, key) ?? '') === value) return changed;
  throw new GweError(
    'CONFIG_INVALID',
    `cannot store ${key} ${JSON.stringify(value.slice(0, 60))}: it would not read back as written; ` +
      'expected one line without outer quotes or spaces and without a comment (" ;")',
  );
}

function writeConfig(path: string, text: string, mode: number): void {
  if (Buffer.byteLength(text) > LARGEST_CONFIG_BYTES) {
    throw new GweError('CONFIG_INVALID', `cannot write '${path}': longer than ${LARGEST_CONFIG_BYTES} bytes`);
  }
  ensureDirectory(dirname(path));
  writeFileDurable(path, text, mode);
}

/** The original stores an empty value as two quote characters. */
function renderValue(value: string): string {
  return value === '' ? "''" : value;
}

/** `''`, `""` and nothing are all empty; one pair of quotes around a value is not part of it. */
export function unquote(text: string): string {
  const match = /^(['"])(.*)\1$/s.exec(text.trim());
  return match?.[2] ?? text.trim();
}
