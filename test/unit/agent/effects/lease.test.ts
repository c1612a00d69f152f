/** An app may put its update off, for as long as the gateway's owner allows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitForLease } from '../../../../src/agent/effects/lease.ts';
import { ensureDirectory, writeFileDurable } from '../../../../src/base/fs.ts';
import { type Layout, leaseFile } from '../../../../src/store/layout.ts';
import { releaseLease } from '../../../../src/store/lease.ts';
import { agentParts } from '../../../helpers/agent-parts.ts';

const never = new AbortController().signal;

/** By the wall clock alone, which a test sets. */
function lease(layout: Layout, untilMs: number): void {
  ensureDirectory(layout.leasesDirectory);
  const text = JSON.stringify({ owner: 'brewer', reason: 'a batch is on', expires: untilMs / 1000 });
  writeFileDurable(leaseFile(layout, 'app'), text);
}

test('without a lease nothing waits, and nothing is noted', async (t) => {
  const { context, clock, events } = agentParts(t);
  const before = clock.nowMs;
  assert.equal(await waitForLease(context, 'app', never), undefined);
  assert.equal(clock.nowMs, before);
  assert.deepEqual(events, []);
});

test('a lease that runs out lets the update go on, and is said once', async (t) => {
  const { context, layout, clock, events } = agentParts(t, { maxDeferralS: 60 });
  lease(layout, clock.nowMs + 5000);
  assert.equal(await waitForLease(context, 'app', never), 'postponed by brewer (a batch is on) for 5 s');
  assert.deepEqual(events, ['update.deferred']);
});

test('a lease of another app holds nothing', async (t) => {
  const { context, layout, clock } = agentParts(t);
  lease(layout, clock.nowMs + 5000);
  assert.equal(await waitForLease(context, 'other', never), undefined);
});

test('a lease that is given back ends the wait', async (t) => {
  const { context, layout, clock } = agentParts(t, { maxDeferralS: 60 });
  lease(layout, clock.nowMs + 50_000);
  let sleeps = 0;
  clock.onSleep = () => {
    sleeps += 1;
    if (sleeps === 3) releaseLease(layout, 'app');
  };
  assert.match((await waitForLease(context, 'app', never)) ?? '', / for 3 s$/);
});

test('no lease, and no row of leases, puts an update off for longer than max_deferral', async (t) => {
  const { context, layout, clock } = agentParts(t, { maxDeferralS: 7 });
  const before = clock.nowMs;
  clock.onSleep = () => lease(layout, clock.nowMs + 2000);
  clock.onSleep();
  const note = await waitForLease(context, 'app', never);
  assert.match(note ?? '', /longer than max_deferral allows: the update went ahead after 7 s$/);
  assert.equal(clock.nowMs - before, 7000);
});

test('gwe that stops does not take the end of the wait for leave to go on', async (t) => {
  const { context, layout, clock } = agentParts(t, { maxDeferralS: 60 });
  lease(layout, clock.nowMs + 50_000);
  const stop = new AbortController();
  clock.onSleep = () => stop.abort();
  await assert.rejects(waitForLease(context, 'app', stop.signal), { code: 'CANCELLED' });
});
