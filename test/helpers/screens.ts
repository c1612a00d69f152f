/** Screens that are kept as text: what differs from run to run is replaced, so that a change of wording shows in a diff. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Labels whose text is of this machine, or of this moment. */
const VARIES = /^(check-in|clock|disk|inodes|platform|reports|traffic) +\S.*$/;
const CONTINUED = /^ {10,}\S/;

/** `names`: what is called otherwise in each run -> what stands for it, which is as long. */
export function steady(lines: readonly string[], names: Readonly<Record<string, string>>): string[] {
  const kept: string[] = [];
  let isVarying = false;
  for (const line of lines) {
    if (isVarying && CONTINUED.test(line)) continue;
    isVarying = VARIES.test(line);
    kept.push(isVarying ? line.replace(/^(\S+)( +).*$/, '$1$2(varies)') : line);
  }
  let text = kept.join('\n');
  for (const [name, stand] of Object.entries(names)) text = replaceFolded(text, name, stand);
  return text
    .replace(/\b20\d\d-\d\d-\d\d\b/g, '2026-01-01')
    .replace(/\b\d\d:\d\d(:\d\d)?\b/g, (time) => '00:00:00'.slice(0, time.length))
    .replace(/\b(\d+ (?:s|min|h|days))\b( *)/g, (_all, span: string, gap: string) => {
      // A column behind it stays where it is.
      return `N s${gap.length > 1 ? ' '.repeat(Math.max(1, span.length + gap.length - 3)) : gap}`;
    })
    .replace(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replace(/\b(process|pid) \d+/g, '$1 PID')
    .replace(/key \.\.\.\w{4}/g, 'key ...abcd')
    .split('\n');
}

/** Also where the name goes on in the next line. */
function replaceFolded(text: string, name: string, stand: string): string {
  const letters = [...name].map((letter) => letter.replace(/[^A-Za-z0-9]/g, '\\$&'));
  return text.replace(new RegExp(letters.join('((?:\\n *)?)'), 'g'), (_all, ...found: unknown[]) => {
    const breaks = found.slice(0, letters.length - 1).map(String);
    return [...stand].map((letter, at) => `${letter}${breaks[at] ?? ''}`).join('');
  });
}

/**
 * With GWE_WRITE_SCREENS=1 writes `screens` to the file, with GWE_CHECK_SCREENS=1 holds them against it to the letter, and
 * else by what is typed alone: a change of wording breaks no build, and shows when the screens are written again.
 */
export function assertScreens(
  file: string,
  screens: readonly { typed: string; lines: readonly string[] }[],
): void {
  const text = screens.map(
    ({ typed, lines }) => `$ ${typed}\n${lines.map((line) => `  ${line}`.trimEnd()).join('\n')}\n`,
  );
  const found = text.join('\n').replace(/\n{3,}/g, '\n\n');
  if (process.env.GWE_WRITE_SCREENS === '1') {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, found);
    return;
  }
  const kept = readFileSync(file, 'utf8');
  const typed = (whole: string): string[] => whole.split('\n').filter((line) => line.startsWith('$ '));
  const hint = `${file}: if this is what is wanted, GWE_WRITE_SCREENS=1 writes it`;
  if (process.env.GWE_CHECK_SCREENS === '1') assert.equal(found, kept, hint);
  else assert.deepEqual(typed(found), typed(kept), hint);
}
