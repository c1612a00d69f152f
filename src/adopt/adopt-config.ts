/** The original's configuration: its key and identity, and the settings that gwe has too. What is set here already stays. */

import { readTextBounded } from '../base/fs.ts';
import { iniValue, parseIni } from '../base/ini.ts';
import {
  type DeviceConfig,
  loadEngineConfig,
  loadGatewayConfig,
  saveEngineConfig,
  saveGatewayConfig,
  unquote,
} from '../config/config-files.ts';
import { ENGINE_SETTINGS, type EngineSettings } from '../config/schema.ts';
import { decodeSetting } from '../config/setting.ts';
import type { Layout } from '../store/layout.ts';

const LIMIT_BYTES = 64 * 1024;
const SHARED_SETTINGS = ['updateIntervalS', 'activationRetryS', 'debugLevel'] as const;

/** What of the file at `path` is not set here. */
function missingDevice(layout: Layout, path: string): Partial<DeviceConfig> {
  const theirs = loadGatewayConfig(path).values;
  const ours = loadGatewayConfig(layout.gatewayConfig).values;
  // A key is that of its identity: it is not taken for another one.
  const isOther = (['model', 'uuid'] as const).some((key) => ours[key] !== '' && theirs[key] !== ours[key]);
  if (ours.cik !== '' || isOther) return {};
  return Object.fromEntries(
    Object.entries(theirs).filter(([key, value]) => value !== '' && iniOf(ours, key) === ''),
  );
}

function iniOf(device: DeviceConfig, key: string): string | undefined {
  return Object.entries(device).find(([name]) => name === key)?.[1];
}

function missingSettings(layout: Layout, path: string): Partial<EngineSettings> {
  const theirs = parseIni(readTextBounded(path, LIMIT_BYTES) ?? '');
  const ours = parseIni(loadEngineConfig(layout.engineConfig).text);
  const found: Record<string, string | number | boolean> = {};
  for (const name of SHARED_SETTINGS) {
    const spec = ENGINE_SETTINGS[name];
    const text = theirs.sections
      .map((section) => iniValue(theirs, section.name, spec.key))
      .find((one) => one !== undefined);
    const mine = unquote(iniValue(ours, 'engine', spec.key) ?? '');
    const decoded = text === undefined ? { problem: '' } : decodeSetting(spec, unquote(text));
    const isFree = mine === '' || mine === String(spec.default);
    if (isFree && 'value' in decoded && decoded.value !== spec.default) found[name] = decoded.value;
  }
  return found;
}

/** Names of what was taken over, or would be; never the key itself. */
export function adoptDevice(layout: Layout, path: string, isDryRun: boolean): string[] {
  const changes = missingDevice(layout, path);
  if (!isDryRun && Object.keys(changes).length > 0) saveGatewayConfig(layout.gatewayConfig, changes);
  return Object.keys(changes);
}

export function adoptSettings(layout: Layout, path: string, isDryRun: boolean): string[] {
  const changes = missingSettings(layout, path);
  if (!isDryRun && Object.keys(changes).length > 0) saveEngineConfig(layout.engineConfig, changes);
  return SHARED_SETTINGS.filter((name) => changes[name] !== undefined).map(
    (name) => `${ENGINE_SETTINGS[name].key} = ${String(changes[name])}`,
  );
}
