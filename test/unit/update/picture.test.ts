/** The picture of an update's states is the transition table; GWE_WRITE_PICTURE=1 redraws it. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FINAL_STATES, TRANSITIONS } from '../../../src/update/state-machine.ts';

const PATH = join(import.meta.dirname, '../../../src/agent/README.md');
const PICTURE = /(<!-- states: [^>]* -->\n```mermaid\n)([\s\S]*?)(```)/;

/** Mermaid's state diagram: `done` needs no words, every other event is written at its arrow. */
function draw(): string {
  const id = (state: string) => state.replace('-', '_');
  const lines = ['stateDiagram-v2', '  [*] --> planned'];
  for (const [from, events] of Object.entries(TRANSITIONS))
    for (const [event, to] of Object.entries(events))
      lines.push(`  ${id(from)} --> ${id(to)}${event === 'done' ? '' : `: ${event}`}`);
  return [...lines, ...FINAL_STATES.map((state) => `  ${id(state)} --> [*]`), ''].join('\n');
}

test('src/agent/README.md draws the states of an update as the transition table has them', () => {
  const text = readFileSync(PATH, 'utf8');
  if (process.env.GWE_WRITE_PICTURE !== undefined)
    writeFileSync(
      PATH,
      text.replace(PICTURE, (_, head: string, __, tail: string) => `${head}${draw()}${tail}`),
    );
  assert.equal(
    PICTURE.exec(readFileSync(PATH, 'utf8'))?.[2],
    draw(),
    'run this test with GWE_WRITE_PICTURE=1',
  );
});
