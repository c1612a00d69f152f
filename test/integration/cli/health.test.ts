/** `gwe status --check`, as a monitor asks it: one status for all that somebody has to look at, and a line for each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGateway } from '../../helpers/gateway.ts';
import { startPlatform } from '../../helpers/platform.ts';
import { until } from '../../helpers/until.ts';

const UNHEALTHY = 4;

test('healthy, then without a platform, then without gwe', async (t) => {
  const platform = await startPlatform();
  const gateway = await createGateway(platform);
  t.after(() => gateway.remove());
  const check = () => gateway.gwe('status', '--check');
  assert.deepEqual(
    [check().status, check().stdout],
    [UNHEALTHY, "gwe is not running; start it with 'supervisorctl start gwe'\n"],
  );
  assert.equal(gateway.gwe('--set', 'update_interval=60').status, 0);
  gateway.start();
  await until(async () => (await platform.read('p1', 'gw-1', 'device_info')) !== undefined, 60_000);
  await until(() => check().stdout === 'healthy\n', 60_000);
  assert.equal(check().status, 0);
  await gateway.stop();
  await platform.close();
  assert.equal(gateway.gwe('--set', 'update_interval=1').status, 0);
  gateway.start();
  await until(() => /^no good check-in for \d+ s, with an interval of 1 s: /m.test(check().stdout), 60_000);
  assert.equal(check().status, UNHEALTHY);
  const { isHealthy, problems } = JSON.parse(gateway.gwe('status', '--check', '--json').stdout);
  assert.equal(isHealthy, false);
  assert.equal(problems.length, 1);
});
