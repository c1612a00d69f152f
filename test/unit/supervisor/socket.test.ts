/** Whose socket is taken for supervisord's. What belongs to another user takes root to make. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createSystemClock } from '../../../src/base/clock.ts';
import { createSupervisorClient } from '../../../src/supervisor/client.ts';
import { findListener } from '../../../src/supervisor/find-supervisor.ts';
import { assertOwnListener } from '../../../src/supervisor/listening.ts';
import { holdSocket } from '../../../src/supervisor/socket.ts';
import { asRoot } from '../../helpers/as-root.ts';

const FOUND = {
  supervisorSocket: '',
  supervisorConfig: '',
  supervisorPrograms: '',
  supervisorUsername: '',
  supervisorPassword: '',
};
const STRANGER = 65_534;
const rootTest = asRoot(import.meta.filename);

/** A socket below `tmp` of a root, in a directory that everybody may write to, as /tmp is. */
async function everybodysPlace(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'gwe-socket-'));
  mkdirSync(join(root, 'tmp'));
  chmodSync(join(root, 'tmp'), 0o1777);
  const path = join(root, 'tmp/supervisor.sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(root, { recursive: true });
  });
  return { root, path };
}

test("a socket of gwe's own user is held, and connected to by what was looked at", async (t) => {
  const { root, path } = await everybodysPlace(t);
  const held = holdSocket(path);
  assert.match(held.path, /^\/proc\/self\/fd\/\d+$/);
  held.release();
  held.release();
  assert.equal(findListener({}, root, FOUND).address, path);
});

test('what is no socket, or is not there, is refused as the system would', async (t) => {
  const { root } = await everybodysPlace(t);
  writeFileSync(join(root, 'file'), '');
  assert.throws(() => holdSocket(join(root, 'file')), /not a socket/);
  assert.throws(() => holdSocket(join(root, 'none')), /ENOENT/);
});

rootTest(
  'a socket that another user has put into everybody’s directory is not taken for supervisord’s',
  async (t) => {
    const { root, path } = await everybodysPlace(t);
    chownSync(path, STRANGER, STRANGER);
    assert.throws(() => holdSocket(path), /belongs to uid 65534/);
    assert.equal(findListener({}, root, FOUND).address, join(root, 'run/supervisor.sock'));
  },
);

rootTest('a link that another user has put there is not followed, one of root’s is', async (t) => {
  const { root, path } = await everybodysPlace(t);
  const link = join(root, 'tmp/link.sock');
  symlinkSync(path, link);
  holdSocket(link).release();
  lchownSync(link, STRANGER, STRANGER);
  assert.throws(() => holdSocket(link), /not a socket/);
});

rootTest(
  'a socket that supervisord gave to another user is taken where only root could have put it',
  async (t) => {
    const { root, path } = await everybodysPlace(t);
    chownSync(path, STRANGER, STRANGER);
    chmodSync(join(root, 'tmp'), 0o755);
    holdSocket(path).release();
  },
);

rootTest(
  'a port of this machine where another user listens is not taken for supervisord’s, one of root’s is',
  async (t) => {
    const listen =
      "require('net').createServer().listen(0, '127.0.0.1', function () { console.log(this.address().port) })";
    const portOf = async (uid: number): Promise<number> => {
      const child = spawn(process.execPath, ['-e', listen], {
        uid,
        gid: uid,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      t.after(() => child.kill('SIGKILL'));
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      return Number(line);
    };
    const port = await portOf(STRANGER);
    assert.throws(() => assertOwnListener(port), /belongs to uid 65534/);
    assertOwnListener(await portOf(0));
    const client = createSupervisorClient({
      address: `http://127.0.0.1:${port}`,
      timeoutMs: 5000,
      maxAttempts: 1,
      clock: createSystemClock(),
    });
    await assert.rejects(client.getState(), /cannot reach supervisord .*belongs to uid 65534/);
  },
);
