import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDataApi } from '../../../../src/protocol/data.ts';
import type { Transport, TransportRequest } from '../../../../src/protocol/transport-types.ts';
import { createWritePace } from '../../../../src/protocol/wire/write-pace.ts';

interface Sent {
  aliases: string[];
  atMs: number;
}

/** A platform that answers each write after 20 ms, with `status`, on a clock that only moves by that and by sleeping. */
function rig(status: () => number) {
  let nowMs = 5000;
  const clock = {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    async sleep(ms: number) {
      nowMs += ms;
    },
  };
  const sent: Sent[] = [];
  const transport: Pick<Transport, 'request'> = {
    async request(request: TransportRequest) {
      const aliases = [...new URLSearchParams(String(request.body ?? '')).keys()];
      sent.push({ aliases, atMs: nowMs });
      nowMs += 20;
      return { status: status(), headers: new Headers(), body: Buffer.alloc(0) };
    },
  };
  const data = createDataApi(transport as Transport, () => 'k', {
    clock,
    hybrid: { state: 'works', emptyAnswers: 0 },
    pace: createWritePace(clock),
  });
  return { data, sent };
}

test('another alias is written at once, the same one not before a second has gone by', async () => {
  const { data, sent } = rig(() => 204);
  await data.exchange([['engine_fetch', '']], ['engine_fetch']);
  await data.writeAliases([['fetch_status', 'one']]);
  await data.readAliases(['engine_fetch']);
  await data.exchange(
    [
      ['usage_report', 'x'],
      ['fetch_status', 'two'],
    ],
    [],
  );
  assert.deepEqual(sent, [
    { aliases: ['engine_fetch'], atMs: 5000 },
    { aliases: ['fetch_status'], atMs: 5020 },
    { aliases: [], atMs: 5040 },
    { aliases: ['usage_report', 'fetch_status'], atMs: 6040 },
  ]);
});

test('a write that was refused is repeated at once', async () => {
  const answers = [405, 204];
  const { data, sent } = rig(() => answers.shift() ?? 204);
  await data.exchange([['fetch_status', 'one']], []);
  assert.deepEqual(
    sent.map(({ atMs }) => atMs),
    [5000, 5020, 5040],
  );
});
