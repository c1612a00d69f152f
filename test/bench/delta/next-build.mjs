/** `next-build.mjs OUTPUT`: this machine's gwe with one line of its text changed, a message that gets longer. */
import { bundle, makeExecutable } from '../../../src/packaging/executable.mjs';
import { hostTarget } from '../../../src/packaging/project.mjs';

const OLD = '"it is not signed"';
const NEW = '"nobody whom this gateway trusts has signed it"';

/** Made where the next build of gwe is wanted. */
async function makeNext(output) {
  const text = await bundle();
  if (!text.includes(OLD)) throw new Error(`cannot change a line of the bundle: it does not hold ${OLD}`);
  return makeExecutable(hostTarget(), text.replace(OLD, NEW), output);
}
export const isMade = await makeNext(process.argv[2]);
