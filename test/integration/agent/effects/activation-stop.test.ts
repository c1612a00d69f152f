import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createGateway } from '../../../helpers/gateway.ts';
import { startPlatform } from '../../../helpers/platform.ts';
import { until } from '../../../helpers/until.ts';

const KEY = '97eWgtm9Et5VxwuJT8NiOK7w27Ly2GS092oSxgpW';

test('a gwe that is stopped in the middle of its activation takes the key that is given out only once', async () => {
  const platform = await startPlatform();
  const gateway = await createGateway(platform);
  let answer: (() => void) | undefined;
  let hungUp: Promise<unknown> = Promise.resolve();
  const slow = createServer((_request, response) => {
    hungUp = once(response, 'close');
    answer = () => response.writeHead(200, { 'Content-Type': 'text/plain' }).end(KEY);
  });
  await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
  const { port } = slow.address() as AddressInfo;
  assert.equal(gateway.gwe('--set-platform-url', `http://127.0.0.1:${port}`).status, 0);
  gateway.start();
  await until(() => answer !== undefined);
  const stopped = gateway.stop();
  // A gwe that hangs up does so within this time.
  await Promise.race([hungUp, delay(500)]);
  answer?.();
  assert.equal(await stopped, 0);
  assert.equal(gateway.gwe('-C').stdout, `${KEY}\n`);
  slow.close();
  await gateway.remove();
  await platform.close();
});
