/**
 * Checks before something goes to the platform, so that errors are reported here, and not by a gateway hours later.
 */
import { artifactNameProblem, matchArtifactName } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { decodeInstruction, FETCH_ALIAS, KNOWN_ALIASES } from '../../protocol/messages.ts';
import { checkTarballFile } from '../developer/build-checks.ts';
import type { CommandCall } from '../shell/command.ts';
import { editDistance } from '../shell/parse.ts';
import { printRemark } from '../shell/screen.ts';
import { hasRoleToken, openClient, pathSegment, refused } from './platform-options.ts';
import { decodeContentList, decodeDevices } from './platform-replies.ts';

/**
 * Anything may be uploaded, except an artifact that a command could name and every gateway would refuse. Throws
 * ARTIFACT_BUILD.
 */
export async function requireInstallable({ io }: CommandCall, file: string, id: string): Promise<void> {
  if (matchArtifactName(id) === undefined) return;
  const { checks, warnings } = await checkTarballFile(file, id);
  for (const warning of warnings) printRemark(io, `[WARN] ${warning}`);
  const fault = checks.find((check) => !check.passed);
  if (fault === undefined) return;
  throw new GweError(
    'ARTIFACT_BUILD',
    `cannot upload '${file}': ${fault.reason}; ${fault.remedy}, or give --raw: a gateway would refuse it`,
  );
}

const NOT_FOUND = 404;

/** Throws USAGE_BAD_VALUE for a product that the platform does not know: usually a typing error. */
export async function requireProduct(call: CommandCall, product: string): Promise<void> {
  const client = openClient(call);
  // A role may not ask for all of this; the upload itself is refused where there is no such product.
  if (hasRoleToken(call)) return;
  const ask = async (what: 'devices' | 'content'): Promise<string> => {
    const reply = await client.call('GET', `/gwe/v1/products/${pathSegment(product)}/${what}?limit=1`);
    if (reply.status === NOT_FOUND) return '[]';
    if (reply.status !== 200) throw refused(`look for product '${product}'`, reply);
    return reply.text;
  };
  if (decodeDevices(await ask('devices')).length > 0) return;
  if (decodeContentList(await ask('content')).length > 0) return;
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot upload to product '${product}': the platform has no device and no content of it; correct the name, or give --create`,
  );
}

/** Throws USAGE_BAD_VALUE for a command that no gateway can carry out, and for an alias that misspells one of gwe's. */
export function requireSensibleValue(alias: string, value: string): void {
  const problem = alias === FETCH_ALIAS ? commandProblem(value) : aliasProblem(alias);
  if (problem === undefined) return;
  throw new GweError('USAGE_BAD_VALUE', `${problem}; nothing was written, --raw writes it as it is`);
}

function commandProblem(value: string): string | undefined {
  const instruction = decodeInstruction(value, artifactNameProblem);
  if (instruction.kind === 'invalid') return instruction.reason;
  if (instruction.kind === 'none') return undefined;
  return instruction.entries.find((entry) => entry.problem !== undefined)?.problem;
}

/**
 * A name that differs from one of gwe's aliases in so few letters counts as a misspelling; an app's own alias begins
 * differently, or differs more.
 */
const SLIP_LETTERS = 2;

function aliasProblem(alias: string): string | undefined {
  if (KNOWN_ALIASES.some((known) => known === alias)) return undefined;
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_. ]/g, '');
  const given = plain(alias);
  const meant = KNOWN_ALIASES.find(
    (known) => given[0] === known[0] && editDistance(given, plain(known)) <= SLIP_LETTERS,
  );
  return meant === undefined
    ? undefined
    : `cannot write alias '${alias}': it is not one of gwe, did you mean ${meant}?`;
}
