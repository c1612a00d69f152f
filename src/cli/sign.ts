/**
 * `gwe sign` and `gwe verify`: who vouches for a tarball.
 *
 * `verify --json` prints {version, file, name, appVersion, digest, trusted, reason, signatures: [{keyId, signer, verdict}]};
 * `verdict` is good, wrong, unknown or limited (for other apps); name, appVersion and digest are absent without a manifest.
 */
import { statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { ArtifactContents } from '../artifact/contents.ts';
import { inspectArtifact } from '../artifact/extract.ts';
import { DEFAULT_LIMITS } from '../artifact/limits.ts';
import { checkChunkTable } from '../artifact/members.ts';
import { renderArtifactName } from '../artifact/name.ts';
import {
  assertSigned,
  judgeSignatures,
  type SignatureVerdict,
  type TrustPolicy,
} from '../artifact/policy.ts';
import { signTarball } from '../artifact/sign-tarball.ts';
import { describeError, GweError } from '../base/errors.ts';
import { loadEngineConfig } from '../config/files.ts';
import { decodeTrustedKey, type KeyRing, readKeyRing } from '../store/trust.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { JSON_OPTION } from './options.ts';
import { layoutOf } from './root.ts';
import { printDocument, printParagraph } from './screen.ts';
import { PASSPHRASE_OPTION, readKeyFile, readSigner, SIGN_CMD_OPTION } from './signing.ts';

export const signCommand: CommandSpec = {
  path: ['sign'],
  positionals: ['TARBALL'],
  summary: 'add a signature to a tarball; a hand-packed one gets a manifest first',
  options: [
    { name: 'key', value: 'FILE', help: 'private key to sign with; the public one with --sign-cmd' },
    PASSPHRASE_OPTION,
    SIGN_CMD_OPTION,
  ],
  async run({ io, options, positionals: [tarball = ''] }) {
    const signer = readSigner(io, options, 'key');
    if (signer === undefined) throw new GweError('USAGE_MISSING', 'cannot sign: --key FILE is missing');
    const file = resolve(io.cwd, tarball);
    const { index, isNew } = await signTarball(file, signer, { limits: DEFAULT_LIMITS, signal: io.signal });
    if (isNew) io.stdout(`packed anew with a manifest: ${file}\n`);
    const count = index.signatures.length;
    io.stdout(`signed ${index.digest} by ${signer.keyId} (${count} signature${count === 1 ? '' : 's'})\n`);
    return EXIT.ok;
  },
};

export const verifyCommand: CommandSpec = {
  path: ['verify'],
  positionals: ['TARBALL'],
  summary:
    'say whether a tarball is what its manifest says and who has signed it; 1 if a gateway with these keys would refuse it',
  options: [
    {
      name: 'keys',
      value: 'DIR',
      default: 'etc/gwe/keys.d',
      help: 'directory of trusted keys (*.pub), or one such file',
    },
    { name: 'require-signatures', value: 'N', help: 'keys that must have signed; else as in Engine.config' },
    JSON_OPTION,
  ],
  async run(call) {
    const { io, options } = call;
    const [tarball = ''] = call.positionals;
    const policy = readPolicy(call);
    const file = resolve(io.cwd, tarball);
    const contents = await inspectArtifact(file, { limits: DEFAULT_LIMITS, signal: io.signal });
    if (contents.index?.manifest.chunks !== undefined) await checkChunkTable(file, contents.index, io.signal);
    const reason = refusalOf(contents, policy, basename(tarball));
    const verdicts = contents.index === undefined ? [] : judgeSignatures(contents.index, policy.keys);
    if (options.has('json')) printJson(call, tarball, contents, verdicts, reason);
    else printText(call, tarball, contents, verdicts, reason);
    return reason === undefined ? EXIT.ok : EXIT.failed;
  },
};

/** Why a gateway would not trust it, or `undefined`. */
function refusalOf(contents: ArtifactContents, policy: TrustPolicy, name: string): string | undefined {
  try {
    assertSigned(contents.index, policy, name);
  } catch (error) {
    return describeError(error);
  }
  const expected = contents.index === undefined ? name : renderArtifactName(contents.index.manifest);
  return name === expected ? undefined : `its manifest is of '${expected}': give it its name`;
}

function readPolicy({ io, options }: CommandCall): TrustPolicy {
  const layout = layoutOf(io, options);
  const given = options.text('keys');
  const ring = readKeys(io.cwd, given, layout.keysDirectory, (file) => readKeyFile(io, file));
  for (const problem of ring.problems) io.stderr(`gwe: warning: ${problem}\n`);
  const text = options.text('require-signatures');
  const needed =
    text === undefined ? loadEngineConfig(layout.engineConfig).values.requireSignatures : Number(text);
  if (!Number.isInteger(needed) || needed < 1) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--require-signatures: found '${text}', expected a whole number from 1`,
    );
  }
  // Whoever asks wants to know about signatures, also where no key is there yet.
  return { isEnforced: true, keys: ring.keys, requireSignatures: needed };
}

function readKeys(
  cwd: string,
  given: string | undefined,
  byDefault: string,
  read: (file: string) => string,
): KeyRing {
  const path = given === undefined ? byDefault : resolve(cwd, given);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (given !== undefined && stat === undefined) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--keys: there is no '${given}', expected a directory of *.pub files`,
    );
  }
  if (stat?.isFile() !== true) return readKeyRing(path);
  const name = basename(path).replace(/\.pub$/, '');
  return { files: [basename(path)], keys: [decodeTrustedKey(read(path), name)], problems: [] };
}

function printText(
  { io }: CommandCall,
  tarball: string,
  contents: ArtifactContents,
  verdicts: readonly SignatureVerdict[],
  reason: string | undefined,
): void {
  const { index } = contents;
  if (index === undefined)
    printParagraph(io, `[FAIL] ${tarball} has no manifest: nobody can have signed it - use gwe sign`);
  else {
    printParagraph(io, `[PASS] content is what the manifest says (sha256 ${index.digest})`);
    for (const verdict of verdicts) printParagraph(io, describeVerdict(verdict));
    if (verdicts.length === 0) printParagraph(io, '[FAIL] it is not signed - use gwe sign');
    if (reason !== undefined && verdicts.length > 0) printParagraph(io, `[FAIL] ${reason}`);
  }
}

function describeVerdict({ keyId, signer, verdict }: SignatureVerdict): string {
  const who = signer === undefined ? `key ${keyId}` : `'${signer}' (key ${keyId})`;
  switch (verdict) {
    case 'good':
      return `[PASS] signed by ${who}`;
    case 'wrong':
      return `[FAIL] wrong signature of ${who}`;
    case 'limited':
      return `[WARN] signed by ${who}, which vouches for other apps only`;
    case 'unknown':
      return `[WARN] signed by ${who}, which is not among the trusted ones`;
  }
}

function printJson(
  { io }: CommandCall,
  file: string,
  { index }: ArtifactContents,
  signatures: readonly SignatureVerdict[],
  reason: string | undefined,
): void {
  const { name, version: appVersion } = index?.manifest ?? {};
  printDocument(io, {
    file,
    name,
    appVersion,
    digest: index?.digest,
    trusted: reason === undefined,
    reason,
    signatures,
  });
}
