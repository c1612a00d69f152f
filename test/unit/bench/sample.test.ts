import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compareWithCommitted, mergeRows } from '../../bench/committed.ts';
import { withFigures } from '../../bench/readme.ts';
import { type Row, renderPeers, renderTable, rowOf } from '../../bench/row.ts';
import { type Contender, measureGroup } from '../../bench/sample.ts';

function contender(name: string, seconds: readonly number[], work?: string): Contender {
  let run = 0;
  return {
    name,
    what: `what ${name} does`,
    run: async () => ({ seconds: seconds[run++ % seconds.length] ?? Number.NaN }),
    ...(work === undefined ? {} : { work: () => work }),
  };
}

async function measureRow(
  ours: Contender,
  theirs: Contender,
  rounds = { leastRuns: 3, mostRuns: 3 },
): Promise<Row> {
  const group = { title: 'group', contenders: [ours, theirs], quantity: 'seconds', ...rounds };
  const [first, second] = await measureGroup(group);
  return rowOf({ key: 'row', what: 'a row', unit: 's', quantity: 'seconds', goal: 1 }, first, second);
}

describe('what the bench compares', () => {
  test('contenders that did different work are not compared', async () => {
    await assert.rejects(measureRow(contender('gwe', [1], 'tree 1'), contender('peer', [1], 'tree 2')), {
      message: "group: 'peer' did other work than 'gwe' (tree 2, tree 1)",
    });
  });

  test('a slow moment of the machine that meets both drops out of the ratio', async () => {
    const row = await measureRow(contender('gwe', [2, 20, 4]), contender('peer', [1, 10, 2]));
    assert.deepEqual(row.peer?.ratio, { median: 2, noise: 0 });
    assert.equal(row.ours.median, 4);
  });

  test('it goes on until the ratio is settled', async () => {
    const rounds = { leastRuns: 3, mostRuns: 50 };
    assert.equal((await measureRow(contender('gwe', [1]), contender('peer', [1]), rounds)).runs, 3);
    const row = await measureRow(contender('gwe', [1, 1.2]), contender('peer', [1]), rounds);
    assert.ok(row.runs > 10 && row.runs < 50, String(row.runs));
  });

  test('a row that is not settled or misses its goal says so', async () => {
    const row = await measureRow(contender('gwe', [1, 2, 4]), contender('peer', [1]));
    assert.match(
      renderTable([row]),
      /^\| a row \| 2 s \| 1 s \(peer\) \| \*\*2.00\*\* \| 1 \(missed\) \| 38 %, not settled, 3 \|$/m,
    );
    const quiet = await measureRow(contender('gwe', [1]), contender('peer', [2]));
    assert.match(renderTable([quiet]), /\| \*\*0.50\*\* \| 1 \| 0 %, 3 \|$/m);
    assert.equal(renderPeers([row, quiet]), '- peer: what peer does\n');
  });
});

describe('the committed figures', () => {
  async function rowWith(ratio: number): Promise<Row> {
    return measureRow(contender('gwe', [ratio]), contender('peer', [1]));
  }

  test('a ratio that is worse by more than noise is reported, one within it or better is not', async () => {
    const committed = { rows: [await rowWith(2)] };
    for (const ratio of [1, 2, 2.29])
      assert.deepEqual(compareWithCommitted([await rowWith(ratio)], committed), []);
    assert.deepEqual(compareWithCommitted([await rowWith(2.31)], committed), [
      { key: 'row', line: 'row: 2.310, expected at most 2.300 (2.000 before)' },
    ]);
  });

  test('measured noise widens what is allowed', async () => {
    const committed = { rows: [await measureRow(contender('gwe', [1, 2, 4]), contender('peer', [1]))] };
    assert.deepEqual(compareWithCommitted([await rowWith(2.7)], committed), []);
    assert.equal(compareWithCommitted([await rowWith(2.8)], committed).length, 1);
  });

  test('bytes are held to without a peer, a time alone is not', async () => {
    const [ours] = await measureGroup({
      title: 'alone',
      contenders: [contender('gwe', [100])],
      quantity: 'seconds',
      leastRuns: 1,
      mostRuns: 1,
    });
    const as = (unit: string): Row => rowOf({ key: 'k', what: 'w', unit, quantity: 'seconds' }, ours);
    const before = (unit: string): Row => ({ ...as(unit), ours: { median: 90, noise: 0 } });
    assert.equal(compareWithCommitted([as('bytes')], { rows: [before('bytes')] }).length, 1);
    assert.deepEqual(compareWithCommitted([as('ms')], { rows: [before('ms')] }), []);
  });

  test('figures measured again take their old places', async () => {
    const row = await rowWith(1);
    const named = (key: string, runs: number): Row => ({ ...row, key, runs });
    const merged = mergeRows([named('a', 1), named('b', 1)], [named('c', 2), named('a', 2)]);
    assert.deepEqual(
      merged.map(({ key, runs }) => [key, runs]),
      [
        ['a', 2],
        ['b', 1],
        ['c', 2],
      ],
    );
  });

  test('the README gets the table between its marks, and nothing else of it changes', async () => {
    const rows = [await rowWith(1)];
    const readme = 'before\n<!-- make bench: begin -->\nold\n<!-- make bench: end -->\nafter\n';
    const written = withFigures(readme, rows);
    assert.match(
      written,
      /^before\n<!-- make bench: begin -->\n\| what [\s\S]*\n- peer: what peer does\n<!-- make bench: end -->\nafter\n$/,
    );
    assert.doesNotMatch(written, /old/);
    assert.equal(withFigures(written, rows), written);
    assert.throws(() => withFigures('nothing', rows), /has no '<!-- make bench: begin -->'/);
  });
});
