import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../../src/platform/metrics.ts';

test('a histogram counts what is below each bound, smaller bounds included, and what is above all', () => {
  const metrics = createMetrics();
  const sizes = metrics.histogram('sizes', 'Of something.', [1, 10]);
  for (const size of [0.5, 1, 2, 100]) sizes.observe(size, { kind: 'a' });
  assert.equal(
    metrics.render(),
    `# HELP sizes Of something.
# TYPE sizes histogram
sizes_bucket{kind="a",le="1"} 2
sizes_bucket{kind="a",le="10"} 3
sizes_bucket{kind="a",le="+Inf"} 4
sizes_sum{kind="a"} 103.5
sizes_count{kind="a"} 4
`,
  );
});

test('a counter grows for each combination of its labels, and a gauge is asked when somebody looks', () => {
  const metrics = createMetrics();
  const calls = metrics.counter('calls', 'Made.');
  let open = 1;
  metrics.gauge('open', 'Now.', () => [{ value: open }]);
  calls.add({ to: 'a' });
  calls.add({ to: 'a' }, 2);
  calls.add({ to: 'b"\n' });
  open = 7;
  const lines = metrics.render().split('\n');
  assert.deepEqual(
    lines.filter((line) => line !== '' && !line.startsWith('#')),
    ['calls{to="a"} 3', 'calls{to="b\\"\\n"} 1', 'open 7'],
  );
});
