/** `gwe build [FILE]`: what `--build-app FILE` does, with the buildfile of this directory by default. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isBuildfile } from '../../artifact/make/buildfile.ts';
import { GweError } from '../../base/errors.ts';
import type { CommandCall, CommandIo, CommandSpec } from '../shell/command.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { absolutePath } from '../shell/path.ts';
import { buildActions } from './build.ts';
import { PASSPHRASE_OPTION, readSigner, SIGN_CMD_OPTION } from './signing.ts';

/** As `gwe init` names it. */
export const USUAL_BUILDFILE = 'buildfile.json';

export const buildCommand: CommandSpec = {
  path: ['build'],
  positionals: ['[FILE]'],
  summary: `Build a tarball from a buildfile (${USUAL_BUILDFILE}, or the only one here), check it, and print its absolute path and nothing else`,
  options: [
    { name: 'sign-key', value: 'FILE', help: 'sign the tarball with this private key' },
    PASSPHRASE_OPTION,
    SIGN_CMD_OPTION,
    { name: 'patch-from', value: 'TARBALL', many: true, help: 'make a patch from this older version too' },
    JSON_OPTION,
  ],
  run: runBuild,
};

async function runBuild({ io, options, positionals }: CommandCall): Promise<number> {
  const file = positionals[0] ?? findBuildfile(io);
  const signer = readSigner(io, options, 'sign-key');
  const signers = signer === undefined ? [] : [signer];
  return buildActions.buildApp(io, file, {
    signers,
    patchFrom: options.list('patch-from'),
    isJson: options.has('json'),
  });
}

function findBuildfile(io: CommandIo): string {
  const directory = absolutePath(io, '.');
  if (existsSync(join(directory, USUAL_BUILDFILE))) return USUAL_BUILDFILE;
  const found = readdirSync(directory).filter(
    (name) => name.endsWith('.json') && isBuildfile(join(directory, name)),
  );
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only;
  const what =
    only === undefined
      ? 'no buildfile here'
      : `${found.length} buildfiles here: ${found.slice(0, 5).join(', ')}`;
  const hint = only === undefined ? "'gwe init NAME' makes an app with one" : "say which: 'gwe build FILE'";
  throw new GweError(
    'USAGE_MISSING',
    `cannot build: ${what}, expected ${USUAL_BUILDFILE} or a single one; ${hint}`,
  );
}
