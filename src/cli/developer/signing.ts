/** From the options of a command line to who signs: a key file, or a program that has the key. */
import { statSync } from 'node:fs';
import {
  createRemoteSigner,
  createSigner,
  readPrivateKey,
  type Signer,
} from '../../artifact/manifest/signature.ts';
import { GweError } from '../../base/errors.ts';
import { readTextBounded } from '../../base/fs.ts';
import { runFilter } from '../../base/process.ts';
import type { CommandIo, OptionSpec, ParsedOptions } from '../shell/command.ts';
import { absolutePath } from '../shell/path.ts';

const LARGEST_KEY_BYTES = 64 * 1024;
const LARGEST_ANSWER_BYTES = 4096;

export const PASSPHRASE_OPTION: OptionSpec = {
  name: 'passphrase-file',
  value: 'FILE',
  help: 'file whose first line decrypts the private key',
};

export const SIGN_CMD_OPTION: OptionSpec = {
  name: 'sign-cmd',
  value: 'COMMAND',
  help: 'sign with this shell command, which holds the private key that belongs to the given public key: the bytes to sign on stdin, the signature in base64 on stdout',
};

/** The signer that `--KEY-OPTION FILE`, `--passphrase-file` and `--sign-cmd` describe; none without the first. */
export function readSigner(io: CommandIo, options: ParsedOptions, keyOption: string): Signer | undefined {
  const file = options.text(keyOption);
  if (file === undefined) {
    if (options.text('sign-cmd') === undefined) return undefined;
    throw new GweError(
      'USAGE_MISSING',
      `cannot sign with --sign-cmd alone: --${keyOption} FILE is missing, expected the public key that belongs to it`,
    );
  }
  const pem = readKeyFile(io, file);
  const command = options.text('sign-cmd');
  if (command !== undefined) {
    return createRemoteSigner(pem, file, (message) => askCommand(io, command, message));
  }
  const signer = createSigner(readPrivateKey(pem, readPassphrase(io, options), file));
  warnOfReaders(io, file);
  return signer;
}

/** A key that a copy or another tool has left readable by everybody is signed with all the same. */
function warnOfReaders(io: CommandIo, file: string): void {
  const path = absolutePath(io, file);
  if ((statSync(path).mode & 0o077) === 0) return;
  io.stderr(`gwe: warning: other users of this machine can read '${file}': chmod 600 ${file}\n`);
}

/** The text of a key file. Throws USAGE_BAD_VALUE if there is none. */
export function readKeyFile(io: CommandIo, file: string): string {
  const text = readTextBounded(absolutePath(io, file), LARGEST_KEY_BYTES);
  if (text !== undefined) return text;
  throw new GweError('USAGE_BAD_VALUE', `cannot read key '${file}': there is no such file`);
}

/** The first line of the file of `--passphrase-file`. Throws USAGE_BAD_VALUE for an empty one. */
export function readPassphrase(io: CommandIo, options: ParsedOptions): string | undefined {
  const file = options.text('passphrase-file');
  if (file === undefined) return undefined;
  const [line = ''] = (readTextBounded(absolutePath(io, file), LARGEST_KEY_BYTES) ?? '').split(/\r?\n/, 1);
  if (line !== '') return line;
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot use --passphrase-file '${file}': no text in it, expected one line`,
  );
}

async function askCommand(io: CommandIo, command: string, message: Buffer): Promise<Buffer> {
  const { end, output } = await runFilter(['/bin/sh', '-c', command], {
    cwd: absolutePath(io, '.'),
    env: io.env,
    input: message,
    limitBytes: LARGEST_ANSWER_BYTES,
    signal: io.signal,
  });
  if (end.kind === 'cancelled') throw new GweError('CANCELLED', 'stopped --sign-cmd');
  if (end.kind === 'exit' && end.code === 0) return Buffer.from(output.toString('latin1').trim(), 'base64');
  const found =
    end.kind === 'exit' ? `exit status ${end.code}` : end.kind === 'signal' ? end.signal : end.kind;
  throw new GweError('ARTIFACT_BUILD', `cannot sign: --sign-cmd ended with ${found}, expected 0`);
}
