/**
 * `gwe sign` and `gwe verify`: who vouches for a tarball.
 *
 * `verify --json` prints {version, file, name, appVersion, digest, trusted, reason, signatures: [{keyId, signer,
 * verdict}]}; `verdict` is good, wrong, unknown or limited (for other apps); name, appVersion and digest are absent
 * without a manifest.
 */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { checkChunkTable } from '../../artifact/chunks/members.ts';
import { DEFAULT_LIMITS } from '../../artifact/limits.ts';
import { signTarball } from '../../artifact/make/sign-tarball.ts';
import {
  assertSigned,
  judgeSignatures,
  type SignatureVerdict,
  type TrustPolicy,
} from '../../artifact/manifest/policy.ts';
import { renderArtifactName } from '../../artifact/name.ts';
import type { ArtifactContents } from '../../artifact/unpack/contents.ts';
import { inspectArtifact } from '../../artifact/unpack/extract.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { loadEngineConfig } from '../../config/config-files.ts';
import { readGatewayKeys } from '../../store/gateway-keys.ts';
import { decodeTrustedKey, type KeyRing, readKeyRing } from '../../store/trust.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { absolutePath } from '../shell/path.ts';
import { openMeter } from '../shell/progress-bar.ts';
import { layoutOf } from '../shell/root.ts';
import { printDocument, printParagraph } from '../shell/screen.ts';
import { PASSPHRASE_OPTION, readKeyFile, readSigner, SIGN_CMD_OPTION } from './signing.ts';

export const signCommand: CommandSpec = {
  path: ['sign'],
  positionals: ['TARBALL'],
  summary: 'add a signature to a tarball; a hand-packed one gets a manifest first',
  options: [
    { name: 'key', value: 'FILE', help: 'private key to sign with; the public one with --sign-cmd' },
    PASSPHRASE_OPTION,
    SIGN_CMD_OPTION,
    JSON_OPTION,
  ],
  async run({ io, options, positionals: [tarball = ''] }) {
    const signer = readSigner(io, options, 'key');
    if (signer === undefined) throw new GweError('USAGE_MISSING', 'cannot sign: --key FILE is missing');
    const file = absolutePath(io, tarball);
    const isJson = options.has('json');
    const meter = openMeter(io, 'signing', isJson);
    const { index, isNew } = await signTarball(file, signer, {
      limits: DEFAULT_LIMITS,
      signal: io.signal,
      isElsewhere: true,
      onProgress: meter.move,
    }).finally(meter.end);
    const count = index.signatures.length;
    if (isJson) {
      const { keyId } = signer;
      printDocument(io, {
        file,
        digest: index.digest,
        keyId,
        signatures: index.signatures.map((one) => one.keyid),
        isNew,
      });
      return EXIT.ok;
    }
    if (isNew) io.stdout(`repacked with a manifest: ${file}\n`);
    io.stdout(`signed ${index.digest} by ${signer.keyId} (${count} signature${count === 1 ? '' : 's'})\n`);
    return EXIT.ok;
  },
};

export const verifyCommand: CommandSpec = {
  path: ['verify'],
  positionals: ['TARBALL'],
  summary:
    'check a tarball against its manifest, and show who has signed it; 1 if a gateway with these keys would refuse it',
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
    const file = absolutePath(io, tarball);
    const contents = await inspectArtifact(file, { limits: DEFAULT_LIMITS, signal: io.signal });
    if (contents.index?.manifest.chunks !== undefined) await checkChunkTable(file, contents.index, io.signal);
    const reason = refusalOf(contents, policy, basename(tarball));
    const verdicts = contents.index === undefined ? [] : judgeSignatures(contents.index, policy.keys);
    if (options.has('json')) printJson(call, tarball, { index: contents.index, verdicts, reason });
    else printText(call, tarball, { index: contents.index, verdicts, reason });
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
  return name === expected ? undefined : `its manifest is of '${expected}': rename the file to that`;
}

function readPolicy({ io, options }: CommandCall): TrustPolicy {
  const layout = layoutOf(io, options);
  const given = options.text('keys');
  const ring =
    given === undefined
      ? readGatewayKeys(layout)
      : readKeys(absolutePath(io, given), (file) => readKeyFile(io, file));
  for (const problem of ring.problems) io.stderr(`gwe: warning: ${problem}\n`);
  const text = options.text('require-signatures');
  const settings = loadEngineConfig(layout.engineConfig).values;
  const needed = text === undefined ? settings.requireSignatures : Number(text);
  if (!Number.isInteger(needed) || needed < 1) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--require-signatures: found '${text}', expected a whole number from 1`,
    );
  }
  // Whoever asks wants to know about signatures, also where no key is there yet.
  const unreadable = text === undefined ? settings.unreadable?.join('; ') : undefined;
  return {
    isEnforced: true,
    keys: ring.keys,
    requireSignatures: needed,
    ...(unreadable === undefined ? {} : { unreadable }),
  };
}

function readKeys(path: string, read: (file: string) => string): KeyRing {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `--keys: there is no '${path}', expected a directory of *.pub files`,
    );
  }
  if (!stat.isFile()) return readKeyRing(path);
  const name = basename(path).replace(/\.pub$/, '');
  return { files: [basename(path)], keys: [decodeTrustedKey(read(path), name)], retired: [], problems: [] };
}

interface Verification {
  index: ArtifactContents['index'];
  verdicts: readonly SignatureVerdict[];
  /** Why a gateway would not trust it. */
  reason: string | undefined;
}

function printText({ io }: CommandCall, tarball: string, { index, verdicts, reason }: Verification): void {
  if (index === undefined)
    printParagraph(io, `[FAIL] ${tarball} has no manifest: so nobody has signed it - use gwe sign`);
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
      return `[WARN] signed by ${who}, whose key is for other apps or purposes only`;
    case 'unknown':
      return `[WARN] signed by ${who}, whose key is not trusted`;
  }
}

function printJson({ io }: CommandCall, file: string, { index, verdicts, reason }: Verification): void {
  const { name, version: appVersion } = index?.manifest ?? {};
  printDocument(io, {
    file,
    name,
    appVersion,
    digest: index?.digest,
    trusted: reason === undefined,
    reason,
    signatures: verdicts,
  });
}
