/** While a download takes its time the platform is looked at again: a newer command ends it, nothing else does. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type CycleParts, carryOut } from '../../../../src/agent/commands/carry-out.ts';
import { GweError } from '../../../../src/base/errors.ts';
import type {
  Transport,
  TransportRequest,
  TransportResponse,
} from '../../../../src/protocol/transport-types.ts';
import { type Command, createCommandStore, digestText } from '../../../../src/store/command.ts';
import { agentParts, transactionOf } from '../../../helpers/agent-parts.ts';

const OLD = '{"id":1}';
const NEW = '{"id":2}';

/** A platform that never gives the bytes, until the signal of the request ends it. */
function silent({ signal }: Pick<TransportRequest, 'signal'>): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(new GweError('CANCELLED', 'cannot fetch: stopped'));
    if (signal?.aborted === true) stop();
    signal?.addEventListener('abort', stop);
  });
}

/** The update of `OLD` is being downloaded; `shown` is called for what the platform shows at each look. */
function gateway(t: TestContext, shown: (look: number) => string) {
  const parts = agentParts(t, { updateIntervalS: 60, progressIntervalS: 0 });
  const { layout } = parts;
  const device = () => ({ ...parts.context.device(), cik: 'a'.repeat(40), vendor: 'acme', model: 'box' });
  const context = { ...parts.context, device };
  const commands = createCommandStore(layout.command);
  const current: Command = {
    id: 'c1',
    digest: digestText(OLD),
    clear: 'shown',
    entries: [{ contentId: 'app.v2.tar.gz' }],
    next: 0,
  };
  commands.write({ current });
  context.journal.write(transactionOf({ id: 'c1-00', state: 'downloading', digest: undefined }));
  const requests: string[] = [];
  const transport: Transport = {
    request({ path, ...request }): Promise<TransportResponse> {
      requests.push(path);
      return silent(request);
    },
    stream: silent,
    close: () => undefined,
  };
  const stop = new AbortController();
  let looks = 0;
  const data = {
    async readAliases() {
      looks += 1;
      const text = shown(looks);
      if (text === 'stop') stop.abort();
      return { values: new Map([['engine_fetch', text]]), isUndefined: false };
    },
  };
  const cycle = { context, commands, transport, data, signal: stop.signal } as unknown as CycleParts;
  return { ...parts, context, commands, cycle, requests, looks: () => looks, stop };
}

test('a newer command ends the download of an older one, which keeps its place', async (t) => {
  const rig = gateway(t, (look) => (look < 3 ? '' : NEW));
  assert.equal(await carryOut(rig.cycle, true), true);
  assert.equal(rig.looks(), 3);
  assert.equal(rig.context.journal.read()?.closed, false);
  assert.equal(rig.commands.read().current?.id, 'c1');
});

test('the same command, still shown, an empty one and an error end nothing', async (t) => {
  const rig = gateway(t, (look) => {
    if (look === 2) throw new GweError('PROTOCOL_OFFLINE', 'cannot reach it');
    return ['', OLD, '', '', 'stop'][look] ?? 'stop';
  });
  await assert.rejects(carryOut(rig.cycle, true), { code: 'CANCELLED' });
  assert.equal(rig.looks(), 4);
  assert.equal(rig.context.journal.read()?.closed, false);
});

test('a command that the platform goes on showing is no newer one', async (t) => {
  const rig = gateway(t, (look) => (look < 4 ? NEW : 'stop'));
  rig.commands.write({ ...rig.commands.read(), stuckDigest: digestText(NEW) });
  await assert.rejects(carryOut(rig.cycle, true), { code: 'CANCELLED' });
  assert.equal(rig.looks(), 4);
});

test('an update that waits for the data budget costs no request at all', async (t) => {
  const rig = gateway(t, () => assert.fail('looked'));
  const budget = { ...rig.context.budget, allows: () => false };
  budget.wait({ tx: 'c1-00', app: 'app', version: '2', neededBytes: 100, urgent: false });
  assert.equal(await carryOut({ ...rig.cycle, context: { ...rig.context, budget } }, true), false);
  assert.deepEqual(rig.requests, []);
});

test('the download of a command that has been replaced is given up before the new one begins', async (t) => {
  const rig = gateway(t, () => 'stop');
  rig.commands.write({
    current: { id: 'c2', digest: digestText(NEW), clear: 'shown', entries: [], next: 0 },
  });
  assert.equal(await carryOut(rig.cycle, true), false);
  const ended = rig.context.journal.read();
  assert.deepEqual([ended?.id, ended?.state, ended?.failure?.code], ['c1-00', 'failed', 'CANCELLED']);
  assert.equal(rig.commands.read().current, undefined, 'nothing was left of the new one');
});
