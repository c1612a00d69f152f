/**
 * A command that somebody has signed: what the signature is over, and whose it is. Pure. `id`, `not_before` and
 * `window` are outside it: whoever passes the command on may put it off, and change nothing else of it.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { describeError } from '../../base/errors.ts';
import { quote } from '../faults.ts';
import { matchArtifactName } from '../name.ts';
import { renderCanonical } from './canonical-json.ts';
import type { TrustedKey } from './policy.ts';
import { isSignedBy, KEY_ID_TEXT, SIGNATURE_TEXT, type Signer, signedMessage } from './signature.ts';

const COMMAND_PURPOSE = 'gwe command v1';
/** As long as a command may be. */
const MOST_COMMAND_BYTES = 64 * 1024;
const UNSIGNED_KEYS: readonly string[] = ['signed', 'id', 'not_before', 'window'];

const wholeNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const SignedSchema = v.strictObject({
  /** Id of the key. */
  by: v.pipe(v.string(), v.regex(KEY_ID_TEXT, 'expected the id of a key')),
  /** Unix milliseconds at signing. */
  counter: wholeNumber,
  /** One gateway, or all of its product. */
  for: v.picklist(['device', 'product']),
  sig: v.pipe(v.string(), v.regex(SIGNATURE_TEXT, 'expected 64 bytes in base64')),
  /** Unix seconds. */
  until: wholeNumber,
});

export interface SignedCommand {
  /** All of the command that is signed. */
  body: Readonly<Record<string, unknown>>;
  signed: v.InferOutput<typeof SignedSchema>;
}

export interface Addressee {
  product: string;
  /** Of the gateway; `undefined` for all of the product. */
  serial?: string;
}

type DecodedCommand =
  | { kind: 'unsigned' }
  | { kind: 'bad'; reason: string }
  | { kind: 'signed'; command: SignedCommand };

/** What the text of `engine_fetch` says of who signed it. Never throws; a signature that cannot be read is a bad one. */
export function decodeSignedCommand(text: string): DecodedCommand {
  const bad = (found: string): DecodedCommand => ({
    kind: 'bad',
    reason: `${found}, expected a signed command`,
  });
  if (Buffer.byteLength(text) > MOST_COMMAND_BYTES) return bad(`more than ${MOST_COMMAND_BYTES} bytes`);
  const fields = parseObject(text);
  if (fields === undefined) return bad('no JSON object');
  if (!Object.hasOwn(fields, 'signed')) return { kind: 'unsigned' };
  const signed = v.safeParse(SignedSchema, fields.signed);
  if (!signed.success)
    return bad(`'signed' whose ${quote(v.getDotPath(signed.issues[0]) ?? 'form')} is wrong`);
  const { counter, until } = signed.output;
  if (counter > until * 1000) return bad("'signed' whose 'counter' is later than its 'until'");
  return { kind: 'signed', command: { body: bodyOf(fields), signed: signed.output } };
}

/** Own properties alone, whatever their names. */
function bodyOf(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !UNSIGNED_KEYS.includes(key)));
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** sha256 of what is signed, hex. Throws ARTIFACT_FORMAT for what has no canonical form. */
export function signedDigest({ body, signed }: SignedCommand, to: Required<Addressee>): string {
  const { by, counter, until } = signed;
  const whose =
    signed.for === 'device' ? { product: to.product, serial: to.serial } : { product: to.product };
  const text = renderCanonical({ body, signed: { by, counter, to: whose, until } });
  return createHash('sha256').update(text).digest('hex');
}

/** `fields` as the text of a signed command. Throws USAGE_BAD_VALUE by way of the signer, ARTIFACT_FORMAT. */
export async function signCommand(
  fields: Readonly<Record<string, unknown>>,
  to: Addressee,
  { signer, counter, until }: { signer: Signer; counter: number; until: number },
): Promise<string> {
  const whose = to.serial === undefined ? ('product' as const) : ('device' as const);
  const signed = { by: signer.keyId, counter, for: whose, until };
  const command = { body: bodyOf(fields), signed: { ...signed, sig: '' } };
  const digest = signedDigest(command, { serial: '', ...to });
  const sig = Buffer.from(await signer.sign(signedMessage(digest, COMMAND_PURPOSE))).toString('base64');
  return JSON.stringify({ ...fields, signed: { ...signed, sig } });
}

/** Why `key` does not vouch for the command, or `undefined`. `apps`: those that it is about; `undefined` for one of no name. */
function refusalBy(
  key: TrustedKey,
  { product }: Addressee,
  apps: readonly (string | undefined)[],
): string | undefined {
  const shown = `key ${quote(key.name)}`;
  if (key.powers?.includes('commands') !== true) return `${shown} has no 'powers: commands'`;
  if (key.products?.includes(product) === false)
    return `${shown} commands other products than ${quote(product)}`;
  const other = apps.findIndex(
    (app) => key.apps !== undefined && (app === undefined || !key.apps.includes(app)),
  );
  return other === -1 ? undefined : `${shown} does not command ${quote(apps[other] ?? 'what names no app')}`;
}

/** Why none of `keys` with this id may command these apps on gateways of this product; `undefined` if one may. */
export function signerRefusal(
  keys: readonly TrustedKey[],
  by: string,
  to: Addressee,
  apps: readonly (string | undefined)[],
): string | undefined {
  const refusals = keys.filter(({ id }) => id === by).map((key) => refusalBy(key, to, apps));
  if (refusals.includes(undefined)) return undefined;
  return refusals[0] ?? `it is signed by the unknown key ${by}`;
}

/** Why the command is not one for this gateway by somebody whom it trusts; `undefined` if it is. */
export function commandRefusal(
  command: SignedCommand,
  to: Required<Addressee>,
  keys: readonly TrustedKey[],
): string | undefined {
  const { by, sig } = command.signed;
  const refusal = signerRefusal(keys, by, to, appsOf(command.body));
  if (refusal !== undefined) return refusal;
  const known = keys.filter(({ id }) => id === by);
  try {
    const digest = signedDigest(command, to);
    const signature = { keyid: by, signature: sig };
    if (known.some(({ publicKey }) => isSignedBy(publicKey, digest, signature, COMMAND_PURPOSE)))
      return undefined;
    return `it is not what '${known[0]?.name}' signed for this ${command.signed.for}`;
  } catch (error) {
    return describeError(error);
  }
}

/** The app of each entry; `undefined` for one that names none. */
function appsOf({ install, logs }: SignedCommand['body']): (string | undefined)[] {
  const each = (list: unknown, app: (entry: object) => unknown): (string | undefined)[] =>
    (Array.isArray(list) ? list : []).map((entry: unknown) => {
      const found = typeof entry === 'object' && entry !== null ? app(entry) : undefined;
      return typeof found === 'string' ? found : undefined;
    });
  const installed = each(install, (entry) => ('name' in entry ? entry.name : undefined));
  return [
    ...installed.map((name) => matchArtifactName(name ?? '')?.name),
    ...each(logs, (entry) => ('app' in entry ? entry.app : undefined)),
  ];
}
