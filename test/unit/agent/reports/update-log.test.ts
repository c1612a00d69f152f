import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { cutPieces } from '../../../../src/agent/reports/log-pieces.ts';
import { keepUpdateLog, readUpdateLog } from '../../../../src/agent/reports/update-log.ts';
import { createLogger } from '../../../../src/base/log.ts';
import { ENGINE_SETTINGS, type EngineSettings } from '../../../../src/config/schema.ts';
import { createLayout } from '../../../../src/store/layout.ts';

let root = '';
before(() => {
  root = mkdtempSync(`${tmpdir()}/gwe-logs-`);
});
after(() => rmSync(root, { recursive: true }));

function keeper(diskReserveBytes: number) {
  const lines: string[] = [];
  const clock = { wallMs: () => 0, monotonicMs: () => 0, sleep: async () => undefined };
  const write = (line: string): void => void lines.push(line);
  const defaults = Object.entries(ENGINE_SETTINGS).map(([name, spec]) => [name, spec.default]);
  const settings = { ...(Object.fromEntries(defaults) as EngineSettings), diskReserveBytes };
  const log = createLogger({ level: 'debug', format: 'text', clock, write });
  return { context: { layout: createLayout(root), settings: () => settings, clock, log }, lines };
}

test('of each update the output of all its scripts is kept, and of ten updates', () => {
  const { context, lines } = keeper(0);
  for (let at = 10; at < 22; at++) keepUpdateLog(context, `a${at}`, 'install.sh ended', 'a line');
  keepUpdateLog(context, 'a21', 'health.sh ended', 'another\n');
  keepUpdateLog(context, 'a30', 'install.sh ended', '');
  const kept = readdirSync(context.layout.updateLogsDirectory).sort();
  assert.deepEqual([kept.length, kept[0], kept.at(-1)], [10, 'a12.log', 'a21.log']);
  const time = '1970-01-01T00:00:00.000Z';
  const text = `== ${time} install.sh ended\na line\n== ${time} health.sh ended\nanother\n`;
  assert.equal(readUpdateLog(context, 'a21'), text);
  assert.deepEqual(lines, []);
});

test('a log that would touch the reserve of the disk is left out, with a warning', () => {
  const { context, lines } = keeper(2 ** 60);
  keepUpdateLog(context, 'b1', 'install.sh ended', 'a line');
  assert.equal(readUpdateLog(context, 'b1'), undefined);
  assert.match(lines.join(''), /WARN {2}store\.no-log tx=b1 cannot keep .* with the reserve/);
});

test('an id that is a path names no log', () => {
  const { context } = keeper(0);
  for (const tx of ['../journal', 'a/b', '', '.', 'x'.repeat(300)])
    assert.equal(readUpdateLog(context, tx), undefined, tx);
});

test('pieces are cut at line ends, inside of longer lines between characters, and lose nothing', () => {
  const text = `${'short\n'.repeat(50)}${'\u00e4"\u{1f600}'.repeat(40)}\nend`;
  const pieces = cutPieces(text, 100);
  assert.equal(pieces.join(''), text);
  for (const piece of pieces) {
    assert.ok(Buffer.byteLength(JSON.stringify(piece)) <= 100, piece);
    assert.equal(Buffer.from(piece).toString(), piece);
  }
  assert.ok(pieces[0]?.endsWith('\n'));
});
