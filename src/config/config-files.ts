/**
 * Gateway.cfg and Engine.config (one-platform.md §4.8): read as the original wrote them; a rewrite keeps what it does
 * not know.
 */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { keepEdited, readEdited, readWhenChanged, writeEdited } from '../base/edited-file.ts';
import { GweError } from '../base/errors.ts';
import { ensureDirectory, type FileAccess } from '../base/fs.ts';
import { iniValue, parseIni, setIniValue } from '../base/ini.ts';
import { grantKeyFile, keyFileAccess } from './key-access.ts';
import { findMisplaced } from './misplaced.ts';
import { ENGINE_SETTINGS, type EngineSettings, type LoadedSettings } from './schema.ts';
import { decodeSetting, type SettingSpec, type SettingValue } from './setting.ts';

const LARGEST_CONFIG_BYTES = 64 * 1024;
const DEVICE_SECTION = 'device';
const ENGINE_SECTION = 'engine';
/** It holds the key. */
const GATEWAY_MODE = 0o600;
const ENGINE_MODE = 0o644;
const SECRET_KEYS = Object.values<SettingSpec>(ENGINE_SETTINGS)
  .filter(({ secret }) => secret === true)
  .map(({ key }) => key);

/** Order and spelling of the original's file. */
const DEVICE_KEYS = ['cik', 'model', 'vendor', 'uuid', 'iface'] as const;
type DeviceKey = (typeof DEVICE_KEYS)[number];
export type DeviceConfig = Record<DeviceKey, string>;

/** The 63 bytes that a fresh Gateway.cfg has (one-platform.md §7, vector 46). */
export const FRESH_GATEWAY_CONFIG = `[${DEVICE_SECTION}]\n${DEVICE_KEYS.map((key) => `${key} = ''\n`).join('')}\n`;

const FRESH_ENGINE_CONFIG = `[${ENGINE_SECTION}]\n${(
  ['updateIntervalS', 'activationRetryS', 'userAgent', 'debugLevel'] as const
)
  .map((name) => `${ENGINE_SETTINGS[name].key} = ${renderValue(String(ENGINE_SETTINGS[name].default))}\n`)
  .join('')}\n`;

interface LoadedConfig<T> {
  text: string;
  values: T;
  /** Lines and values that were not understood, one sentence each; defaults are used in their place. */
  problems: string[];
}

export function loadGatewayConfig(path: string): LoadedConfig<DeviceConfig> {
  const text = readEdited(path, LARGEST_CONFIG_BYTES) ?? FRESH_GATEWAY_CONFIG;
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

/**
 * Writes Gateway.cfg with `changes`, mode 0600 because it holds the key, or 0640 where a group was given it. Returns
 * the file's new text.
 */
export function saveGatewayConfig(path: string, changes: Partial<DeviceConfig>): string {
  const text = renderGatewayConfig(path, changes);
  writeConfig(path, text, GATEWAY_MODE, keyFileAccess(path));
  return text;
}

/** A line that the file should not have may be the key, alone or under a misspelt name: problems go to the log. */
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

export function loadEngineConfig(path: string): LoadedConfig<LoadedSettings> {
  return decodeEngineConfig(path, readEngineConfig(path));
}

/**
 * Looks at the file at each call, reads it where it was changed, and decodes it where it says something else than before:
 * in an update it is asked for hundreds of times, and hardly ever is.
 */
export function createEngineConfigReader(path: string): () => LoadedConfig<LoadedSettings> {
  let last: LoadedConfig<LoadedSettings> | undefined;
  return readWhenChanged(path, () => {
    const text = readEngineConfig(path);
    if (last?.text !== text) last = decodeEngineConfig(path, text);
    return last;
  });
}

/** As `createEngineConfigReader`, of Gateway.cfg. */
export function createGatewayConfigReader(path: string): () => DeviceConfig {
  return readWhenChanged(path, () => loadGatewayConfig(path).values);
}

function readEngineConfig(path: string): string {
  return readEdited(path, LARGEST_CONFIG_BYTES) ?? FRESH_ENGINE_CONFIG;
}

function decodeEngineConfig(path: string, text: string): LoadedConfig<LoadedSettings> {
  const document = parseIni(text);
  const problems = document.problems.map((found) => `${path}:${found.line}: ${found.message}`);
  const unreadable = findMisplaced(text, document, ENGINE_SECTION).map((found) => `${path}${found}`);
  const values: Record<string, SettingValue> = {};
  for (const [name, spec] of Object.entries<SettingSpec>(ENGINE_SETTINGS)) {
    const decoded = decodeValue(spec, iniValue(document, ENGINE_SECTION, spec.key));
    values[name] = 'problem' in decoded ? spec.default : decoded.value;
    if (!('problem' in decoded)) continue;
    if (spec.protects === true) unreadable.push(`${path}: ${decoded.problem}`);
    else problems.push(`${path}: ${decoded.problem}; using ${String(spec.default)}`);
  }
  problems.push(...unreadable.map((found) => `${found}; nothing is installed until that is corrected`));
  const settings = values as EngineSettings;
  return { text, values: unreadable.length === 0 ? settings : { ...settings, unreadable }, problems };
}

/** An option without a value says nothing, unless somebody wanted a number that protects. */
function decodeValue(
  spec: SettingSpec,
  text: string | undefined,
): { value: SettingValue } | { problem: string } {
  const found = unquote(text ?? '');
  const saysNothing = found === '' && (text === undefined || spec.protects !== true || spec.type === 'text');
  return saysNothing ? { value: spec.default } : decodeSetting(spec, found);
}

/** Writes Engine.config with `changes` (already validated). Returns the file's new text. */
export function saveEngineConfig(path: string, changes: Partial<EngineSettings>): string {
  const text = renderEngineConfig(path, changes);
  writeConfig(path, text, engineMode(text));
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

/** 0600 where it holds a password. */
function engineMode(text: string): number {
  const document = parseIni(text);
  const isSecret = SECRET_KEYS.some((key) => unquote(iniValue(document, ENGINE_SECTION, key) ?? '') !== '');
  return isSecret ? GATEWAY_MODE : ENGINE_MODE;
}

/** Whether Engine.config holds a password, and users other than its owner may read it. */
export function exposesSecret(path: string): boolean {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
  return (mode & 0o077) !== 0 && engineMode(readEngineConfig(path)) !== ENGINE_MODE;
}

/** The text of Engine.config as it may be shown: a password is left out. */
export function withoutSecrets(text: string): string {
  return SECRET_KEYS.reduce((shown, key) => {
    const value = unquote(iniValue(parseIni(shown), ENGINE_SECTION, key) ?? '');
    return value === '' ? shown : setIniValue(shown, ENGINE_SECTION, key, '(left out)');
  }, text);
}

function writeConfig(path: string, text: string, mode: number, access: FileAccess = { mode }): void {
  if (Buffer.byteLength(text) > LARGEST_CONFIG_BYTES) {
    throw new GweError('CONFIG_INVALID', `cannot write '${path}': longer than ${LARGEST_CONFIG_BYTES} bytes`);
  }
  ensureDirectory(dirname(path));
  writeEdited(path, text, { mode }, access);
}

/**
 * Makes the last good copies of both files where they were edited, and brings back a file that a power cut has torn.
 * Returns a sentence for each that was. Writes nothing where all is well.
 */
export function keepConfigs(paths: { gatewayConfig: string; engineConfig: string }): string[] {
  const keep = (path: string, mode: number, section: string): string | undefined =>
    keepEdited(path, {
      limitBytes: LARGEST_CONFIG_BYTES,
      mode,
      isSound: (text) => hasSection(text, section),
    });
  return [
    keep(paths.gatewayConfig, GATEWAY_MODE, DEVICE_SECTION),
    keep(
      paths.engineConfig,
      engineMode(readEdited(paths.engineConfig, LARGEST_CONFIG_BYTES) ?? ''),
      ENGINE_SECTION,
    ),
    shareKey(paths),
  ].filter((sentence) => sentence !== undefined);
}

/** Has Gateway.cfg be read by `cik_group`, or by its owner alone. Returns why it cannot be done. */
export function shareKey(paths: { gatewayConfig: string; engineConfig: string }): string | undefined {
  return grantKeyFile(paths.gatewayConfig, loadEngineConfig(paths.engineConfig).values.cikGroup);
}

function hasSection(text: string, section: string): boolean {
  return parseIni(text).sections.some(({ name, entries }) => name === section && entries.length > 0);
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
