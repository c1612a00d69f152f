/**
 * Tests that take root, for they mount or act as two users. Where the tests do not run as root, their file runs once more,
 * as root of namespaces of its own; where that is not possible either they fail and say what they need.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';

type Body = (t: TestContext) => void | Promise<void>;
type RootTest = (name: string, body: Body) => void;

const INSIDE = 'GWE_TEST_NAMESPACES';
const NEEDS =
  "root with the right to mount, or user namespaces with util-linux's unshare, iproute2's ip and a line for this user in /etc/subuid and /etc/subgid (uidmap)";
/** The second user of such a test is 65534: as root of a namespace that has to be mapped. */
const ALL_USERS = ['--map-users=auto', '--map-groups=auto'];
const NAMESPACES = ['--user', '--map-root-user', '--mount', '--net'];
const RUN = 'ip link set lo up && exec "$@"';

/** `test` for the tests of `file` that take root. */
export function asRoot(file: string): RootTest {
  if (process.env[INSIDE] !== undefined || isRoot()) return (name, body) => void test(name, body);
  let isRegistered = false;
  return () => {
    if (isRegistered) return;
    isRegistered = true;
    test(`${basename(file)} as root of namespaces of its own`, () => runInside(file));
  };
}

/** Root of a container may lack the right to mount. */
function isRoot(): boolean {
  if (process.getuid?.() !== 0) return false;
  const directory = mkdtempSync(join(tmpdir(), 'gwe-mount-'));
  try {
    if (spawnSync('mount', ['--bind', directory, directory]).status !== 0) return false;
    return spawnSync('umount', [directory]).status === 0;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function runInside(file: string): void {
  const run = (users: readonly string[], command: readonly string[]): ReturnType<typeof spawnSync> => {
    const { NODE_TEST_CONTEXT: _outer, ...env } = process.env;
    const args = [...NAMESPACES, ...users, 'sh', '-c', RUN, 'sh', ...command];
    return spawnSync('unshare', args, { env: { ...env, [INSIDE]: '1' }, encoding: 'utf8' });
  };
  const probes = [ALL_USERS, []].map((users) => ({ users, probe: run(users, ['true']) }));
  const usable = probes.find(({ probe }) => probe.status === 0);
  const tried = probes.map(({ probe }) => found(probe)).join('; ');
  if (usable === undefined) throw new Error(`${basename(file)} needs ${NEEDS}; found: ${tried}`);
  const ran = run(usable.users, [process.execPath, '--no-warnings', '--test', file]);
  if (ran.status === 0) return;
  const lacks = usable.users.length > 0 ? '' : ` (as two users it needs ${NEEDS}; found: ${tried})`;
  throw new Error(`${basename(file)} failed in namespaces of its own${lacks}:\n${found(ran)}`);
}

function found({ error, stderr, stdout }: ReturnType<typeof spawnSync>): string {
  return error?.message ?? `${stderr}${stdout}`.trim();
}
