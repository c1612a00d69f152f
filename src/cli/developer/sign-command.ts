/**
 * `gwe sign-command`, and `--sign-key` of commands that send one: whoever passes it on, or steals what passes it on, can
 * put it off and cannot change it.
 *
 * `sign-command --json` prints {version, product, serial, command}: the text for engine_fetch; `serial` is absent where
 * it is for all of the product.
 */
import { type Addressee, signCommand } from '../../artifact/manifest/signed-command.ts';
import { artifactNameProblem } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { decodeInstruction } from '../../protocol/messages.ts';
import type { CommandCall, CommandSpec, OptionSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { printDocument } from '../shell/screen.ts';
import { PASSPHRASE_OPTION, readSigner, SIGN_CMD_OPTION } from './signing.ts';

/** Less than a day, so that gateways take it that have no counters, and whose clocks are a little behind. */
const USUAL_SPAN_S = 20 * 3600;

const UNTIL_OPTION: OptionSpec = {
  name: 'until',
  value: 'TIME',
  help: 'when gateways no longer take it: in 20h, 90m, 7d, or at 2026-12-01T02:00:00Z',
  default: '20h',
};

export const COMMAND_SIGN_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'sign-key',
    value: 'FILE',
    help: 'private key that signs the command, for gateways with require_signed_commands; the public one with --sign-cmd',
  },
  PASSPHRASE_OPTION,
  SIGN_CMD_OPTION,
  UNTIL_OPTION,
];

export const signCommandCommand: CommandSpec = {
  path: ['sign-command'],
  positionals: ['PRODUCT', 'COMMAND'],
  summary:
    'print a command for engine_fetch with a signature, for one gateway or all of a product; id, not_before and window may be added later',
  options: [
    { name: 'serial', value: 'SERIAL', help: 'for this gateway alone; by default for all of the product' },
    { name: 'key', value: 'FILE', help: 'private key to sign with; the public one with --sign-cmd' },
    PASSPHRASE_OPTION,
    SIGN_CMD_OPTION,
    UNTIL_OPTION,
    JSON_OPTION,
  ],
  async run(call) {
    const [product = '', text = ''] = call.positionals;
    const serial = call.options.text('serial');
    const to = { product, ...(serial === undefined ? {} : { serial }) };
    refuseUnusable(text, to);
    const signed = await signText(call, 'key', to, { text });
    if (signed === undefined)
      throw new GweError('USAGE_MISSING', 'cannot sign the command: --key FILE is missing');
    if (call.options.has('json')) printDocument(call.io, { ...to, command: signed });
    else call.io.stdout(`${signed}\n`);
    return EXIT.ok;
  },
};

/**
 * The command with a signature by the key of `keyOption`; `undefined` without that option. `until` is used where no
 * --until is given. Throws USAGE_BAD_VALUE for a text that is no command.
 */
export async function signText(
  call: CommandCall,
  keyOption: string,
  to: Addressee,
  { text, until: usualUntil }: { text: string; until?: string },
): Promise<string | undefined> {
  const signer = readSigner(call.io, call.options, keyOption);
  if (signer === undefined) return undefined;
  const instruction = decodeInstruction(text);
  const reason = instruction.kind === 'invalid' ? instruction.reason : 'an empty text is no command';
  if (instruction.kind !== 'install') throw new GweError('USAGE_BAD_VALUE', `${reason}; nothing was signed`);
  const nowMs = call.io.clock.wallMs();
  const until = untilOf(call.options.text('until') ?? usualUntil, nowMs);
  const fields = JSON.parse(text) as Record<string, unknown>;
  return signCommand(fields, to, { signer, counter: nowMs, until });
}

/** What no gateway carries out is found before it is signed, not in its report. */
function refuseUnusable(text: string, { product, serial }: Addressee): void {
  const instruction = decodeInstruction(text, artifactNameProblem);
  const entries = instruction.kind === 'install' ? instruction.entries : [];
  const [problem] = entries.flatMap((entry) => entry.problem ?? []);
  if (problem !== undefined) throw new GweError('USAGE_BAD_VALUE', `${problem}; nothing was signed`);
  if (product === '') throw new GweError('USAGE_BAD_VALUE', 'argument PRODUCT is empty; nothing was signed');
  if (serial === '')
    throw new GweError('USAGE_BAD_VALUE', 'cannot use --serial: it is empty; nothing was signed');
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Unix seconds. */
function untilOf(text: string | undefined, nowMs: number): number {
  const nowS = Math.floor(nowMs / 1000);
  if (text === undefined) return nowS + USUAL_SPAN_S;
  const [, count, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.test(text);
  const atS =
    count === undefined ? Math.floor(Date.parse(text) / 1000) : nowS + Number(count) * (UNITS[unit] ?? 0);
  if ((count !== undefined || isTime) && atS > nowS) return atS;
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot use --until '${text.slice(0, 60)}': expected a time to come, such as 20h, 7d or 2026-12-01T02:00:00Z`,
  );
}
