import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXIT_STATUSES } from '../../src/cli/exit.ts';
import { ENGINE_SETTINGS } from '../../src/config/schema.ts';

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');

test('the README lists every setting with its default and meaning', () => {
  for (const spec of Object.values(ENGINE_SETTINGS)) {
    const row = `| \`${spec.key}\` | ${spec.default} | ${spec.help} |`;
    assert.ok(readme.includes(row), `the README lacks the row: ${row}`);
  }
});

test('the README has every exit status with its meaning', () => {
  for (const { status, meaning } of EXIT_STATUSES) {
    assert.ok(readme.includes(`| ${status} | ${meaning} |`), `exit status ${status}`);
  }
});
