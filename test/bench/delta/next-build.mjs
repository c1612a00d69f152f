/** `next-build.mjs OUTPUT`: this machine's gwe with one more line in its bundle. */
import { bundle, makeExecutable } from '../../../src/packaging/executable.mjs';
import { hostTarget } from '../../../src/packaging/project.mjs';

const LINE = 'globalThis.gweNext = "a line that was not there";\n';

/** Made where the next build of gwe is wanted. */
async function makeNext(output) {
  return makeExecutable(hostTarget(), LINE + (await bundle()), output);
}
export const isMade = await makeNext(process.argv[2]);
