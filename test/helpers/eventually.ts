import assert from 'node:assert/strict';
import { until } from './until.ts';

/** Waits until what a page shows matches, for it is drawn after what a test has seen; else fails with the last text. */
export async function eventually(read: () => Promise<string>, expected: RegExp): Promise<void> {
  let last = '';
  await until(async () => {
    last = await read();
    return expected.test(last);
  }).catch(() => undefined);
  assert.match(last, expected);
}
