/** What becomes of the device's key when a command line changes who this gateway is. */
import { closeSync, openSync, readSync } from 'node:fs';
import {
  identityOf,
  type KeyPlace,
  keepKey,
  keyToCarry,
  readDevice,
  settleKey,
} from '../../agent/run/device-key.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { type DeviceConfig, loadEngineConfig } from '../../config/config-files.ts';
import type { Layout } from '../../store/layout.ts';
import type { CommandIo, ParsedOptions } from '../shell/command.ts';

interface KeyWish {
  /** `--set-cik`: the key of the new identity, whatever was known of it. */
  cik?: string | undefined;
  /** `--keep-key`: the same key counts at a new address. */
  isKept: boolean;
}

const LONGEST_CIK_FILE_BYTES = 4096;

/**
 * The text of `--set-cik`: the key, or where it is read from. Every user of a machine sees what others' commands were
 * given.
 */
export function readCik(text: string): string {
  if (text !== '-' && !text.startsWith('@')) return text;
  const path = text === '-' ? 'standard input' : text.slice(1);
  try {
    const fd = text === '-' ? 0 : openSync(path, 'r');
    try {
      const bytes = Buffer.alloc(LONGEST_CIK_FILE_BYTES);
      return bytes.toString('latin1', 0, readSync(fd, bytes)).trim();
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--set-cik: cannot read the key from '${path}': ${describeError(error)}; nothing was changed`,
    );
  }
}

const OTHER_DEVICE = ['set-product-id', 'set-vendor', 'set-model', 'set-uuid', 'set-cik'];

/** Throws USAGE_BAD_OPTION where a key cannot be kept: it is of one serial number of one product. */
export function readKeyWish(options: ParsedOptions, cik: string | undefined, hasUrl: boolean): KeyWish {
  const isKept = options.has('keep-key');
  const other = OTHER_DEVICE.find((name) => options.has(name));
  if (isKept && other !== undefined) {
    throw new GweError(
      'USAGE_BAD_OPTION',
      `--keep-key and --${other} do not go together: a key belongs to one serial number of one product; nothing was changed`,
    );
  }
  if (isKept && !hasUrl)
    throw new GweError(
      'USAGE_BAD_OPTION',
      '--keep-key goes only with --set-platform-url; nothing was changed',
    );
  return { cik, isKept };
}

/**
 * Carries out `change`, which leaves the key alone, and sees to it that the key is that of who this gateway is then.
 */
export function changeIdentity(io: CommandIo, layout: Layout, wish: KeyWish, change: () => void): void {
  settleKey(placeOf(layout));
  const before = readDevice(placeOf(layout));
  const cik = wish.isKept ? requireKeyToCarry(layout) : wish.cik;
  change();
  const place = placeOf(layout);
  if (cik !== undefined) keepKey(place, identityOf(place, readDevice(place)), cik);
  else if (settleKey(place)) sayKey(io, before, readDevice(place));
}

function placeOf(layout: Layout): KeyPlace {
  return { layout, platformUrl: loadEngineConfig(layout.engineConfig).values.platformUrl };
}

function requireKeyToCarry(layout: Layout): string {
  const cik = keyToCarry(placeOf(layout));
  if (cik !== undefined) return cik;
  throw new GweError('USAGE_BAD_VALUE', '--keep-key: this gateway has no key to keep; nothing was changed');
}

function sayKey(io: CommandIo, before: DeviceConfig, now: DeviceConfig): void {
  const isSameDevice = before.uuid === now.uuid && before.model === now.model && before.vendor === now.vendor;
  const back = isSameDevice
    ? 'it comes back with the address; if this is another address of the same platform, repeat this with --keep-key'
    : 'it comes back when they do';
  if (before.cik !== '')
    io.stderr(`gwe: the key of serial ${before.uuid}, product ${before.model} is set aside; ${back}\n`);
  io.stderr(
    now.cik === ''
      ? 'gwe: the next check-in requests a key for the new identity\n'
      : 'gwe: the key that this identity had before is in use again\n',
  );
}
