/** Pages of help on a terminal that is narrower than they are made for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMAND_GROUPS, loadTree } from '../../../../src/cli/commands.ts';
import {
  optionsShown,
  renderCommandHelp,
  renderMainHelp,
  renderTopic,
} from '../../../../src/cli/shell/help.ts';
import { showPage } from '../../../../src/cli/shell/pager.ts';
import { TOPICS } from '../../../../src/cli/shell/topics.ts';
import { createTestIo } from '../../../helpers/command-io.ts';

function shown(text: string, columns: number): string {
  const { io, stdout } = createTestIo('/', '', { isTerminal: true, columns, env: {} });
  showPage(io, text);
  return stdout();
}

test('every page keeps its words and fits every width from 40 columns on', async () => {
  const { commands } = await loadTree();
  const pages = [
    renderMainHelp(COMMAND_GROUPS),
    ...TOPICS.map(renderTopic),
    ...commands.map((spec) => renderCommandHelp({ ...spec, options: optionsShown(spec) })),
  ];
  const words = (text: string): string => text.replace(/\s+/g, '');
  for (const page of pages)
    for (const columns of [40, 53, 79]) {
      const text = shown(page, columns);
      assert.equal(words(text), words(page));
      for (const line of text.split('\n')) assert.ok(line.length <= columns, `${columns}: ${line}`);
    }
});

test('on 80 columns a page is as it was made', () => {
  const page = renderMainHelp(COMMAND_GROUPS);
  assert.equal(shown(page, 80), page);
  assert.equal(shown(page, 200), page);
});
