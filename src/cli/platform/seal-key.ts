/** The key, in a file beside the admin token or where `--seal-key-file` says, with which the platform seals secrets that it has to read again. */

import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describeError, GweError, systemCode } from '../../base/errors.ts';
import { ensureDirectory, fsyncDirectory, writeFileDurable } from '../../base/fs.ts';
import { createSealer, SEAL_KEY_BYTES, type Sealer } from '../../fleet/people/seal.ts';
import type { CommandCall } from '../shell/command.ts';
import { absolutePath } from '../shell/path.ts';
import { printRemark } from '../shell/screen.ts';
import { refuseOpenFile } from './platform-options.ts';

/** The key, made if there is none; `undefined`, with a remark, where it cannot be made. Throws CONFIG_INVALID. */
export function placeSealKey(call: CommandCall, tokenFile: string): Sealer | undefined {
  const given = call.options.text('seal-key-file');
  const path = given === undefined ? join(dirname(tokenFile), 'seal-key') : absolutePath(call.io, given);
  let text = read(path);
  if (text === undefined) {
    const failure = make(path);
    text = read(path);
    if (text === undefined) {
      printRemark(
        call.io,
        `no second factors and no webhooks can be kept: cannot make '${path}' (${failure ?? 'it has gone'})`,
      );
      return undefined;
    }
  }
  refuseOpenFile(call.io, path, 'seal key');
  const key = Buffer.from(text.trim(), 'hex');
  if (key.length === SEAL_KEY_BYTES && key.toString('hex') === text.trim()) return createSealer(key);
  throw new GweError(
    'CONFIG_INVALID',
    `cannot use seal key '${path}': found ${text.trim().length} characters, expected ${2 * SEAL_KEY_BYTES} of 0-9 a-f; ` +
      'put back the one that was there, since what it has sealed opens with no other',
  );
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Made whole or not at all, and never in place of a key that another platform has made meanwhile. */
function make(path: string): string | undefined {
  const draft = `${path}.${process.pid}`;
  try {
    ensureDirectory(dirname(path), 0o700);
    writeFileDurable(draft, `${randomBytes(SEAL_KEY_BYTES).toString('hex')}\n`, 0o600);
    linkSync(draft, path);
    fsyncDirectory(dirname(path));
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') return describeError(error);
  } finally {
    rmSync(draft, { force: true });
  }
  return undefined;
}
