/** Confirmation before something is removed: on a terminal by the person there, elsewhere by the command line. */
import { createInterface } from 'node:readline';
import { GweError } from '../../base/errors.ts';
import type { CommandCall, CommandIo, OptionSpec } from './command.ts';
import { printParagraph, printRemark } from './screen.ts';

export const DRY_RUN_OPTION: OptionSpec = { name: 'dry-run', help: 'say what would be done, and do nothing' };
export const CONFIRM_OPTIONS: readonly OptionSpec[] = [
  { name: 'yes', short: 'y', help: 'do it without asking' },
  DRY_RUN_OPTION,
];

/**
 * Whether to go on with `what` ("remove app 'x'"); false for a dry run, after printing what would be done. Throws
 * USAGE_MISSING where nobody can be asked and --yes is not given, CANCELLED for any answer but yes.
 */
export async function confirm(call: CommandCall, what: string): Promise<boolean> {
  const { io, options } = call;
  if (options.has('dry-run')) {
    printParagraph(io, `would ${what}`);
    return false;
  }
  if (options.has('yes')) return true;
  if (!isInteractive(io))
    throw new GweError(
      'USAGE_MISSING',
      `this would ${what}, and there is no terminal to confirm it: give --yes to do it, or --dry-run to see more; nothing was changed`,
    );
  printRemark(io, `This will ${what}.`);
  io.stderr('Go on? [y/N] ');
  if (/^y(es)?$/i.test(await readAnswer(io))) return true;
  throw new GweError('CANCELLED', 'not confirmed: nothing was changed');
}

function isInteractive({ stdin, terminal }: CommandIo): boolean {
  return terminal !== undefined && 'isTTY' in stdin && stdin.isTTY === true;
}

async function readAnswer({ stdin, signal }: CommandIo): Promise<string> {
  const lines = createInterface({ input: stdin, signal })[Symbol.asyncIterator]();
  try {
    const { value, done } = await lines.next();
    return done === true ? '' : value.trim();
  } finally {
    await lines.return?.();
  }
}
