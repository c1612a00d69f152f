/** The ways to refuse an artifact, each naming the entry and what was expected. */
import { GweError } from '../base/errors.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
export const CONTROL: RegExp = /[\x00-\x1f\x7f-\x9f]/;

/** A path as one printable, bounded word: it comes from outside. */
export function quote(text: string): string {
  const shown = text.length > 200 ? `${text.slice(0, 120)}...${text.slice(-60)}` : text;
  return `'${JSON.stringify(shown)
    .slice(1, -1)
    .replace(/\\"/g, '"')
    .replace(/[\x7f-\x9f\u2028\u2029]/g, '?')}'`;
}

/** The archive itself is not what a tar or gzip file may be. */
export function formatFault(found: string, expected: string, cause?: unknown): GweError {
  return new GweError('ARTIFACT_FORMAT', `cannot read tarball: ${found}, expected ${expected}`, { cause });
}

/** One entry needs something that gwe does not unpack. */
export function entryFault(path: string, found: string, expected: string): GweError {
  return new GweError('ARTIFACT_ENTRY', `cannot unpack entry ${quote(path)}: ${found}, expected ${expected}`);
}

/** Something is larger than the gateway allows. `where` is 'tarball' or `entry 'x'`. */
export function limitFault(where: string, found: string, limit: string): GweError {
  return new GweError('ARTIFACT_LIMIT', `cannot unpack ${where}: ${found}, expected at most ${limit}`);
}

/** The tar stream is not the one that its manifest describes. */
export function manifestFault(found: string, expected: string): GweError {
  return new GweError(
    'ARTIFACT_MANIFEST',
    `cannot accept tarball: ${found}, expected ${expected} (its manifest); pack it again`,
  );
}
