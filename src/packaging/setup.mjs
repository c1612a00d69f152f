/** Set-up steps for the Makefile: `setup.mjs STEP...`; each is quick when its work is already done. */
import {
  AGENT_NEEDS,
  ALERT_NEEDS,
  BROWSER_NEEDS,
  COMPILER_NEEDS,
  DATABASE_NEEDS,
  ensureInstalled,
  FAKETIME_NEEDS,
  LOAD_NEEDS,
  OBJECTS_NEEDS,
  PEER_NEEDS,
  PROXY_NEEDS,
  READER_NEEDS,
  SHELL_NEEDS,
  SUPERVISOR_NEEDS,
} from './debian.mjs';
import { say } from './project.mjs';
import { ensureHostRuntime } from './runtimes.mjs';

const STEPS = {
  runtime: ensureHostRuntime,
  supervisor: () => ensureInstalled(SUPERVISOR_NEEDS, 'running apps (tests, demo)'),
  faketime: () => ensureInstalled(FAKETIME_NEEDS, 'giving gwe a wrong clock (tests)'),
  readers: () =>
    ensureInstalled(
      [...READER_NEEDS, ...PROXY_NEEDS, ...SHELL_NEEDS],
      'unpacking, proxies and shells of other programs (tests)',
    ),
  peers: () => ensureInstalled(PEER_NEEDS, 'measuring gwe against other tools'),
  agents: installAgents,
  loads: () => ensureInstalled(LOAD_NEEDS, 'measuring a platform under load'),
  database: () => ensureInstalled(DATABASE_NEEDS, 'keeping a platform in PostgreSQL (tests)'),
  objects: () => ensureInstalled(OBJECTS_NEEDS, 'keeping content in an S3 store (tests)'),
  browser: () => ensureInstalled(BROWSER_NEEDS, 'looking at the console in a browser (tests)'),
  alerts: () => ensureInstalled(ALERT_NEEDS, 'checking alerts (tests)'),
  compiler: () => ensureInstalled(COMPILER_NEEDS, 'cutting gwe off at every call (tests)'),
};

/** Without them the bench still says something: it leaves out what is not there. */
function installAgents() {
  try {
    ensureInstalled(AGENT_NEEDS, 'measuring gwe against other update agents');
  } catch (error) {
    say(`${error.message.trim()}; their rows are left out`);
  }
}

for (const name of process.argv.slice(2)) {
  try {
    await STEPS[name]();
  } catch (error) {
    say(`set-up step '${name}' failed: ${error.message}`);
    process.exitCode = 1;
    break;
  }
}
