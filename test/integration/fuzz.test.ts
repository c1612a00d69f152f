/** A sample of `make fuzz`: every decoder that meets outside bytes, for a moment. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { FuzzFinding, fuzz, tryInput } from '../fuzz/guided.ts';
import { createRandom, mutate } from '../fuzz/mutate.ts';
import { createTargets, type FuzzTarget } from '../fuzz/targets.ts';

const RUNS = 60;
const GUIDED_S = 0.3;

/** Any bytes, texts of the format's own words, and good inputs with a few changes. */
function inputsOf(target: FuzzTarget): fc.Arbitrary<Buffer> {
  const words = fc.array(fc.oneof(fc.constantFrom(...target.words), fc.string()), { maxLength: 40 });
  const changed = fc
    .tuple(fc.integer(), fc.nat(target.seeds.length - 1))
    .map(([seed, at]) =>
      mutate(
        target.seeds[at] ?? Buffer.alloc(0),
        target.seeds,
        target.words,
        createRandom(seed),
        target.limitBytes,
      ),
    );
  const anything = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
  return fc.oneof(
    anything,
    words.map((each) => Buffer.from(each.join(''))),
    changed,
  );
}

const targets = await createTargets();
after(() => Promise.all(targets.map((each) => each.close?.())));

for (const target of targets) {
  test(`${target.name}: no input crashes it, holds it up or makes it grow`, async () => {
    await fc.assert(
      fc.asyncProperty(inputsOf(target), async (input) => {
        await tryInput(target, input);
      }),
      { numRuns: RUNS },
    );
    const { inputs } = await fuzz(target, { seconds: GUIDED_S, seed: Date.now() % 2 ** 31 });
    assert.ok(inputs > target.seeds.length, 'it did try something');
  });
}

test('the fuzzer finds a crash behind three bytes, and a hang', async () => {
  const target = (run: FuzzTarget['run']): FuzzTarget => ({
    name: 'known',
    seeds: [Buffer.from('....')],
    words: ['a', 'b', 'c'],
    limitBytes: 100,
    run,
  });
  const crash = target((input) => {
    if (input[0] !== 0x61) return;
    if (input[1] !== 0x62) return;
    if (input[2] !== 0x63) return;
    throw new TypeError('found');
  });
  await assert.rejects(fuzz(crash, { seconds: 20, seed: 1, within: /fuzz\.test/ }), FuzzFinding);
  const hang = target(() => {
    for (const endMs = performance.now() + 1050; performance.now() < endMs; );
  });
  await assert.rejects(fuzz(hang, { seconds: 1, seed: 1 }), /took 1\d{3} ms/);
});
