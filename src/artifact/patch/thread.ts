/** What a thread of a pool (pool.ts) runs: a program of its own, that shares the old text and its index with the others. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { Matcher, type Stretch } from './matcher.ts';
import { fillSeedIndex, type SeedIndex, type Share } from './seed-index.ts';

export interface ThreadData {
  text: Uint8Array;
  index: SeedIndex;
}

/** Done in the order in which they come. */
export type ThreadTask =
  | { kind: 'index'; share: Share }
  | { kind: 'match'; bytes: Uint8Array; expectedAt: number };

/** A task ends with `done`; `stretches` have four numbers each, as in `unpackStretches`. */
export type ThreadAnswer =
  | { kind: 'progress'; doneBytes: number }
  | { kind: 'done'; stretches: Float64Array };

function serve(port: MessagePort, { text, index }: ThreadData): void {
  const matcher = new Matcher(text, index);
  const answer = (one: ThreadAnswer): void => port.postMessage(one);
  port.on('message', (task: ThreadTask) => {
    if (task.kind === 'match') {
      const { bytes, expectedAt } = task;
      const stretches = packStretches(matcher.match(bytes, 0, bytes.length, expectedAt));
      answer({ kind: 'done', stretches });
      return;
    }
    for (const doneBytes of fillSeedIndex(index, text, task.share)) answer({ kind: 'progress', doneBytes });
    answer({ kind: 'done', stretches: new Float64Array() });
  });
}

/** Objects take ten times as long from thread to thread. */
function packStretches(stretches: readonly Stretch[]): Float64Array {
  const packed = new Float64Array(4 * stretches.length);
  for (const [index, { oldAt, newAt, copyBytes, extraBytes }] of stretches.entries())
    packed.set([oldAt, newAt, copyBytes, extraBytes], 4 * index);
  return packed;
}

if (parentPort !== null) serve(parentPort, workerData as ThreadData);
