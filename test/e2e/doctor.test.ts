/**
 * `gwe doctor` finds what is broken, one thing at a time, and the command that it prints puts it right when it is
 * pasted.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, existsSync, mkdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer as createSocket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { asRoot } from '../helpers/as-root.ts';
import { createGateway, EXECUTABLE, type Gateway } from '../helpers/gateway.ts';
import { startPlatform, type TestPlatform } from '../helpers/platform.ts';
import { runGwe } from '../helpers/run-gwe.ts';
import { type Supervisord, startSupervisord } from '../helpers/supervisord.ts';
import { until } from '../helpers/until.ts';

interface Result {
  id: string;
  status: string;
  finding: string;
  mend?: string;
  run?: string;
}

describe('gwe doctor on a gateway with one thing broken', () => {
  let platform: TestPlatform;
  let gateway: Gateway;
  let supervisord: Supervisord;
  const at = (path: string): string => join(gateway.root, path);
  const environment = () => ({
    PATH: `${at('usr/local/bin')}:${process.env.PATH ?? ''}`,
    HOME: gateway.root,
    GWE_ROOT: gateway.root,
  });

  async function examine(): Promise<(id: string) => Result> {
    const { stdout, stderr } = await runGwe([EXECUTABLE, 'doctor', '--json'], environment());
    assert.equal(stderr, '');
    const { checks } = JSON.parse(stdout) as { checks: Result[] };
    return (id) => {
      const found = checks.find((check) => check.id === id);
      assert.ok(found !== undefined, `no check '${id}' in ${stdout}`);
      return found;
    };
  }

  /** As somebody who copies the line from the screen. */
  function paste(command: string): void {
    const { status, stderr, stdout } = spawnSync('/bin/sh', ['-c', command], {
      env: environment(),
      cwd: '/',
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(status, 0, `${command}: ${stdout}${stderr}`);
  }

  const gwe = async (...words: string[]): Promise<void> => {
    const { status, stderr } = await runGwe([EXECUTABLE, ...words], environment());
    assert.equal(status, 0, stderr);
  };
  const runs = (): Promise<void> =>
    until(async () => (await supervisord.processInfo('gwe'))?.statename === 'RUNNING');
  const isOk = (id: string): Promise<void> => until(async () => (await examine())(id).status === 'ok');
  const ctl = (...words: string[]) =>
    spawnSync('supervisorctl', ['-c', supervisord.configFile, ...words], { encoding: 'utf8' });

  before(async () => {
    platform = await startPlatform();
    gateway = await createGateway(platform, { command: [EXECUTABLE] });
    supervisord = await startSupervisord(gateway.root, {
      extraConfig: `[supervisorctl]\nserverurl = unix://${at('run/supervisor.sock')}\n`,
    });
    chmodSync(gateway.root, 0o755);
    await gwe('service', 'install');
    await runs();
    await isOk('running');
  });
  after(async () => {
    await supervisord.stop();
    await gateway.remove();
    await platform.close();
  });

  interface Breakage {
    what: string;
    id: string;
    finding: RegExp;
    break(): void | Promise<void>;
  }
  const breakages: readonly Breakage[] = [
    {
      what: 'gwe is stopped',
      id: 'running',
      finding: /gwe is not running/,
      break: () => void assert.equal(ctl('stop', 'gwe').status, 0),
    },
    {
      what: 'the launcher is missing',
      id: 'launcher',
      finding: /usr\/local\/bin\/gwe' does not exist/,
      break: () => unlinkSync(at('usr/local/bin/gwe')),
    },
    {
      what: 'the launcher is not executable',
      id: 'launcher',
      finding: /is not executable/,
      break: () => chmodSync(at('usr/local/bin/gwe'), 0o644),
    },
    {
      what: 'another file is in the place of the launcher',
      id: 'launcher',
      finding: /is not the launcher/,
      break: () => writeFileSync(at('usr/local/bin/gwe'), '#!/bin/sh\n', { mode: 0o755 }),
    },
    {
      what: 'the program entry is deleted',
      id: 'start',
      finding: /gwe\.conf' does not exist: nothing starts gwe/,
      break: () => unlinkSync(at('etc/supervisor/conf.d/gwe.conf')),
    },
    {
      what: 'supervisord does not know the program entry',
      id: 'start',
      finding: /supervisord has not read it/,
      break: () => {
        ctl('stop', 'gwe');
        assert.equal(ctl('remove', 'gwe').status, 0);
      },
    },
    {
      what: 'the entry of a neighbour is broken',
      id: 'supervisord',
      finding: /can no longer read its configuration/,
      break: () =>
        writeFileSync(
          at('etc/supervisor/conf.d/other.conf'),
          '[program:other]\ncommand = x\nnumprocs = many\n',
        ),
    },
    {
      what: 'the entry of a neighbour is no configuration at all',
      id: 'supervisord',
      finding: /can no longer read its configuration/,
      break: () => writeFileSync(at('etc/supervisor/conf.d/noise.conf'), 'noise\n'),
    },
    {
      what: 'run_as names nobody',
      id: 'run-as',
      finding: /no such user/,
      break: () => appendFileSync(at('etc/gwe/Engine.config'), '\nrun_as = nobody-of-that-name\n'),
    },
    {
      what: 'a file is in the place of the directory of the metrics file',
      id: 'metrics',
      finding: /gwe\.d' is not a directory/,
      break: () => {
        writeFileSync(at('var/gwe.d'), '');
        return gwe('config', 'set', `metrics_file=${at('var/gwe.d/sub/gwe.prom')}`);
      },
    },
    {
      what: 'the metrics file cannot be written',
      id: 'metrics',
      finding: /not a regular file/,
      break: () => {
        mkdirSync(at('var/taken'), { recursive: true });
        return gwe('config', 'set', `metrics_file=${at('var/taken')}`);
      },
    },
    {
      what: 'https leads to a port of plain http',
      id: 'tls',
      finding: /does not speak TLS/,
      break: () => gwe('config', 'set', `platform_url=${platform.url.replace('http:', 'https:')}`),
    },
  ];

  for (const { what, id, finding, break: breakIt } of breakages) {
    test(`when ${what}, the command for it works`, async () => {
      assert.equal((await examine())(id).status, 'ok', 'nothing is wrong before');
      await breakIt();
      const found = (await examine())(id);
      assert.notEqual(found.status, 'ok', found.finding);
      assert.match(found.finding, finding);
      assert.ok(found.run !== undefined, `no command: ${JSON.stringify(found)}`);
      paste(found.run);
      await isOk(id);
    });
  }

  test('a metrics file whose directory is not there yet is fine: the agent makes it', async () => {
    await gwe('config', 'set', `metrics_file=${at('var/none/yet/gwe.prom')}`);
    assert.equal((await examine())('metrics').status, 'ok');
    await until(() => existsSync(at('var/none/yet/gwe.prom')));
    await gwe('config', 'unset', 'metrics_file');
  });

  test('a platform that takes the connection and never answers is found', async () => {
    const silent = createSocket(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    assert.ok(typeof address === 'object' && address !== null);
    await gwe('config', 'set', `platform_url=http://127.0.0.1:${address.port}`);
    const found = (await examine())('platform');
    silent.close();
    await gwe('config', 'set', `platform_url=${platform.url}`);
    assert.equal(found.status, 'fail');
    assert.match(found.finding, /no answer/);
  });

  asRoot(import.meta.filename)(
    'somebody who is not root is told to run it as root, and not to give up the key',
    () => {
      const user = ['--reuid=65534', '--regid=65534', '--clear-groups'];
      const { stdout } = spawnSync('setpriv', [...user, EXECUTABLE, 'doctor', '--json'], {
        env: environment(),
        cwd: '/',
        encoding: 'utf8',
      });
      const { checks } = JSON.parse(stdout) as { checks: Result[] };
      const config = checks.find((check) => check.id === 'config');
      assert.deepEqual(
        [config?.status, config?.mend, config?.run],
        ['fail', 'run it as root', 'sudo gwe doctor'],
      );
      assert.doesNotMatch(stdout, /move it away/);
    },
  );
});
