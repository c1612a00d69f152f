/** `gwe keys pack`: the tarball of a set of keys, for every gateway that trusts its signers. */
import { basename } from 'node:path';
import { lostWaysUnder } from '../../agent/admission/ways-back.ts';
import { packIndexed } from '../../artifact/make/pack-indexed.ts';
import { type PlannedEntry, sortEntries } from '../../artifact/make/plan-tree.ts';
import type { TrustedKey } from '../../artifact/manifest/policy.ts';
import { KEYS_APP_NAME, parseArtifactName, renderArtifactName } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { decodeTrustedKey, type KeyRing, keyFile, keyName } from '../../store/trust.ts';
import { readKeyFile, readSigner } from '../developer/signing.ts';
import type { CommandCall } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf } from '../shell/open-gateway.ts';
import { absolutePath } from '../shell/path.ts';
import { printDocument } from '../shell/screen.ts';

interface SetMember {
  key: TrustedKey;
  isRetired: boolean;
  entry: PlannedEntry;
}

const FIRST_WITH_POWERS = '2.1.0';

export async function packKeys(call: CommandCall): Promise<number> {
  const { io, options } = call;
  const [version = '', ...files] = call.positionals;
  const text = options.text('release') ?? '';
  const release = /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  const signer = readSigner(io, options, 'sign-key');
  if (release === undefined || signer === undefined) {
    throw new GweError('USAGE_MISSING', 'cannot pack keys: --release N and --sign-key FILE are needed');
  }
  const facts = { name: KEYS_APP_NAME, version, release };
  const file = absolutePath(io, renderArtifactName(facts));
  const members = [
    ...files.map((each) => planKey(call, each, each.endsWith('.retired'))),
    ...options.list('retire').map((each) => planKey(call, each, true)),
  ];
  assertSet(members);
  parseArtifactName(renderArtifactName(facts));
  const entries = sortEntries(members.map(({ entry }) => entry));
  // gwe 2.0.0 can read no key with powers: this makes it refuse the set, instead of trusting the rest.
  const hasPowers = members.some(({ key }) => key.powers !== undefined);
  const needed = hasPowers ? { minimum_gwe: FIRST_WITH_POWERS } : {};
  await packIndexed(file, { facts: { ...facts, ...needed }, entries, signers: [signer] }, io.signal);
  if (options.has('json')) printDocument(io, { file, appVersion: version, release, keyId: signer.keyId });
  else io.stdout(`${file}\n`);
  warnOfRotation(call, members, signer.keyId);
  return EXIT.ok;
}

function planKey({ io }: CommandCall, file: string, isRetired: boolean): SetMember {
  const name = keyName(basename(file));
  const text = readKeyFile(io, file);
  const key = decodeTrustedKey(text, name);
  const bytes = Buffer.from(text);
  const source = { kind: 'bytes', bytes } as const;
  const path = keyFile(name, isRetired);
  const entry = { path, type: 'file', mode: 0o644, sizeBytes: bytes.length, target: '', source } as const;
  return { key, isRetired, entry };
}

/** Throws USAGE_BAD_VALUE for a set that no gateway would accept, or not as intended. */
function assertSet(members: readonly SetMember[]): void {
  const refuse = (found: string): GweError => new GweError('USAGE_BAD_VALUE', `cannot pack keys: ${found}`);
  if (new Set(members.map(({ entry }) => entry.path)).size < members.length)
    throw refuse('two of them have the same name');
  const trusted = members.filter(({ isRetired }) => !isRetired);
  if (trusted.length === 0) throw refuse('all of them are retired, expected one that can sign the next set');
  const both = members.find(
    ({ key, isRetired }) => isRetired && trusted.some(({ key: other }) => other.id === key.id),
  );
  if (both !== undefined)
    throw refuse(`key '${both.key.name}' is both to be trusted and to be retired, expected one of the two`);
}

/** What can be known here: who signs it, and, on a gateway, what that has installed. */
function warnOfRotation(call: CommandCall, members: readonly SetMember[], signerId: string): void {
  const warn = (text: string): void => call.io.stderr(`gwe: warning: ${text}\n`);
  const remedy = 'to keep these rollbacks possible, pack the set with --retire FILE.pub for that key';
  if (!members.some(({ key }) => key.id === signerId))
    warn(
      `key ${signerId} signs this set and is not in it: gateways could not roll back to versions that only it has signed; ${remedy}`,
    );
  const kept = (wanted: boolean): TrustedKey[] =>
    members.filter(({ isRetired }) => isRetired === wanted).map(({ key }) => key);
  for (const way of lostHere(call, { keys: kept(false), retired: kept(true) }))
    warn(`with this set, on this gateway, ${way}; ${remedy}`);
}

/** Most keys are packed on a machine that is no gateway, or by somebody who may not read one's state. */
function lostHere(call: CommandCall, set: Pick<KeyRing, 'keys' | 'retired'>): string[] {
  try {
    return lostWaysUnder(gatewayOf(call), set);
  } catch (error) {
    if (error instanceof GweError) return [];
    throw error;
  }
}
