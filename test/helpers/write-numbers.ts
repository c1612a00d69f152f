/** Raises the counter of a signer and the release of a list, below the root that is named, and marks what is done. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { renderReleaseList } from '../../src/artifact/manifest/release-list.ts';
import { createCommandCounters } from '../../src/store/command-counters.ts';
import { createLayout } from '../../src/store/layout.ts';
import { keepReleaseList } from '../../src/store/release-lists.ts';

const [root = '', count = '1'] = process.argv.slice(2);
const layout = createLayout(root);
const done = (what: string): void => {
  mkdirSync(join(root, 'done', what));
};

for (let number = 1; number <= Number(count); number++) {
  const last = { counter: number, digest: `d${number}` };
  createCommandCounters(layout.commandCounters).note('boss', { ...last, state: 'open' });
  done(`counter-${number}`);
  const list = renderReleaseList({ product: 'p1', release: number, issued: 1, expires: 2, apps: {} });
  keepReleaseList(layout, list, { release: number, item: { sizeBytes: list.length, updated: number } });
  done(`release-${number}`);
  createCommandCounters(layout.commandCounters).note('boss', { ...last, state: 'done' });
}
