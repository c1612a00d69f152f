/** src/agent/README.md lists the events of the log as they are in the code, and says what each means. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertTable, readTable } from '../helpers/document-table.ts';
import { readLogEvents } from '../helpers/log-events.ts';

const ROOT = join(import.meta.dirname, '../..');
const TABLE = { document: 'src/agent/README.md', mark: 'events' };

test('the documents list every event that is logged, with its levels, fields and meaning', () => {
  const meanings = new Map(readTable(TABLE).map((cells) => [cells[0], cells[3] ?? '']));
  const rows = readLogEvents(join(ROOT, 'src')).map(({ name, levels, fields }) => {
    const event = `\`${name}\``;
    return [
      event,
      levels.join(', '),
      fields.map((field) => `\`${field}\``).join(', '),
      meanings.get(event) ?? '',
    ];
  });
  assertTable({ ...TABLE, head: ['event', 'level', 'fields', 'what has happened'], rows });
  for (const [event, , , meaning] of rows)
    assert.notEqual(meaning, '', `${TABLE.document} does not say what ${event} means: write it there`);
});

test('events have dotted names in lower case, and fields that no secret hides behind', () => {
  const events = readLogEvents(join(ROOT, 'src'));
  assert.ok(events.length > 50);
  for (const { name, fields } of events) {
    assert.match(name, /^[a-z][a-z-]*(\.[a-z][a-z-]*)+$/);
    for (const field of fields) assert.doesNotMatch(field, /cik|secret|password|passphrase/i, name);
  }
});
