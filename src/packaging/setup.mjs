/** Set-up steps for the Makefile: `setup.mjs STEP...`; each is quick when its work is already done. */
import {
  COMPILER_NEEDS,
  ensureInstalled,
  FAKETIME_NEEDS,
  PEER_NEEDS,
  READER_NEEDS,
  SUPERVISOR_NEEDS,
} from './debian.mjs';
import { say } from './project.mjs';
import { ensureHostRuntime } from './runtimes.mjs';

const STEPS = {
  runtime: ensureHostRuntime,
  supervisor: () => ensureInstalled(SUPERVISOR_NEEDS, 'running apps (tests, demo)'),
  faketime: () => ensureInstalled(FAKETIME_NEEDS, 'giving gwe a wrong clock (tests)'),
  readers: () => ensureInstalled(READER_NEEDS, 'unpacking with other programs (tests)'),
  peers: () => ensureInstalled(PEER_NEEDS, 'measuring gwe against other tools'),
  compiler: () => ensureInstalled(COMPILER_NEEDS, 'cutting gwe off at every call (tests)'),
};

for (const name of process.argv.slice(2)) {
  try {
    await STEPS[name]();
  } catch (error) {
    say(`set-up step '${name}' failed: ${error.message}`);
    process.exitCode = 1;
    break;
  }
}
