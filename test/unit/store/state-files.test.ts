/** The table of state files is complete: every path of gwe that the layout names has its rule. */
import assert from 'node:assert/strict';
import { extname } from 'node:path';
import { test } from 'node:test';
import { createLayout } from '../../../src/store/layout.ts';
import { STATE_FILES } from '../../../src/store/state-files.ts';

const OWN = /^\/(var\/lib\/gwe|run\/gwe|etc\/gwe)\/./;

test("every file that the layout names below gwe's directories has one row", () => {
  const layout = createLayout('/');
  const paths = Object.entries(layout)
    .filter(([key, path]) => typeof path === 'string' && OWN.test(path) && !key.endsWith('Directory'))
    .map(([, path]) => String(path).slice(1));
  const names = STATE_FILES.map(({ name }) => name);
  for (const path of paths) assert.ok(names.includes(path), `${path} has no rule in the table`);
  assert.equal(new Set(names).size, names.length);
});

test('every directory of files that the layout names there has a row for what is in it', () => {
  const layout = createLayout('/');
  const directories = Object.entries(layout)
    .filter(([key, path]) => key.endsWith('Directory') && OWN.test(String(path)))
    .map(([, path]) => String(path).slice(1));
  for (const directory of directories)
    assert.ok(
      STATE_FILES.some(({ name }) => name.startsWith(`${directory}/`) && extname(name) !== directory),
      `${directory} has no rule in the table`,
    );
});
