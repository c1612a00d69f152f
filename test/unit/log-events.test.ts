/** The README lists the events of the log as they are in the code; GWE_WRITE_EVENTS=1 writes its table anew. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readLogEvents, renderEvents } from '../helpers/log-events.ts';

const ROOT = join(import.meta.dirname, '../..');
const PATH = join(ROOT, 'README.md');
const TABLE = /(<!-- events: [^>]* -->\n)((?:\|.*\n)*)/;

test('the README lists every event that is logged, with its levels and fields', () => {
  const table = `${renderEvents(readLogEvents(join(ROOT, 'src')))}\n`;
  const readme = readFileSync(PATH, 'utf8');
  if (process.env.GWE_WRITE_EVENTS !== undefined)
    writeFileSync(
      PATH,
      readme.replace(TABLE, (_, head: string) => `${head}${table}`),
    );
  const listed = TABLE.exec(readFileSync(PATH, 'utf8'))?.[2] ?? '';
  assert.deepEqual(listed.split('\n'), table.split('\n'), 'run this test with GWE_WRITE_EVENTS=1');
});

test('events have dotted names in lower case, and fields that no secret hides behind', () => {
  const events = readLogEvents(join(ROOT, 'src'));
  assert.ok(events.length > 50);
  for (const { name, fields } of events) {
    assert.match(name, /^[a-z][a-z-]*(\.[a-z][a-z-]*)+$/);
    for (const field of fields) assert.doesNotMatch(field, /cik|secret|password|passphrase/i, name);
  }
});
