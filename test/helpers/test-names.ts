/** The names of the tests in a file, as far as they are written out: what the tables in test/*.md are held to. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/** `file` from the top of the repository on. */
export function testNames(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  return [...text.matchAll(/\b(?:t|rootT)est\(\s*(['"`])((?:\\.|(?!\1).)*)\1/g)].map(
    (match) => match[2] ?? '',
  );
}
