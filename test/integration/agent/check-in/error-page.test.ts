/** Somebody on the way answers with a page of an error that is larger than any answer may be. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type CheckInRig, createCheckInRig } from '../../../helpers/check-in-rig.ts';
import { startPlatform, type TestPlatform } from '../../../helpers/platform.ts';
import { installCommand } from '../../../helpers/reports.ts';

const CLEARS = /(^|&)(engine_fetch|update_interval)=(&|$)/;
const PAGE = `<html>${'x'.repeat(100_000)}</html>`;
const COMMAND = installCommand('none.v1.tar.gz');

describe('the page of an error that is larger than max_reply_bytes', () => {
  let platform: TestPlatform;
  const rigs: CheckInRig[] = [];

  before(async () => {
    platform = await startPlatform();
  });
  after(async () => {
    await Promise.all(rigs.map((rig) => rig.close()));
    await platform.close();
  });

  for (const status of [400, 403, 404, 410, 413, 429, 500, 502, 503]) {
    test(`neither clears a command nor counts as one that was read: ${status}`, async () => {
      const rig = await createCheckInRig(platform, `page-${status}`, { maxReplyBytes: 8192 });
      rigs.push(rig);
      assert.equal(await rig.checkIn(), undefined, rig.log());
      await platform.write('p1', rig.serial, 'engine_fetch', COMMAND);
      const before = rig.proxy.requests.length;
      rig.setFault((_request, response) => {
        response.writeHead(status, { 'Content-Type': 'text/html' });
        response.end(PAGE);
        return true;
      });
      for (let times = 0; times < 3; times++) {
        assert.notEqual(
          await rig.checkIn(),
          undefined,
          `a check-in with ${status} does not count: ${rig.log()}`,
        );
        rig.runCycle(4 * 3_600_000);
      }
      const sent = rig.proxy.requests.slice(before);
      assert.equal(sent.filter(({ method, body }) => method === 'POST' && CLEARS.test(body)).length, 0);
      assert.equal(await platform.read('p1', rig.serial, 'engine_fetch'), COMMAND);
      rig.setFault(undefined);
      assert.equal(await rig.checkIn(), undefined, rig.log());
      assert.equal((await platform.read('p1', rig.serial, 'engine_fetch')) ?? '', '', 'it is heard then');
    });
  }
});
