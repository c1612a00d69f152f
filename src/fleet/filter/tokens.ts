/** A filter's text as words and signs, each with its place. */

/** What is wrong with a filter, and where. */
interface FilterProblem {
  /** The place of the first character that does not fit, from 0; at the end, the length of the text. */
  readonly at: number;
  /** How many characters do not fit; at least 1. */
  readonly length: number;
  readonly found: string;
  readonly expected: string;
}

export class FilterError extends Error {
  override readonly name = 'FilterError';
  readonly problem: FilterProblem;

  constructor(problem: FilterProblem) {
    super(
      `cannot read the filter at character ${problem.at + 1}: found ${problem.found}, expected ${problem.expected}`,
    );
    this.problem = problem;
  }
}

export interface Token {
  readonly kind: 'word' | 'quoted' | 'operator' | 'open' | 'close' | 'comma' | 'end';
  readonly text: string;
  readonly at: number;
  /** The length of what was written. */
  readonly length: number;
}

export const MAX_FILTER_CHARS = 2000;

const TOKEN =
  /(?<space>\s+)|(?<operator><=|>=|!=|=|<|>)|(?<open>\()|(?<close>\))|(?<comma>,)|(?<quoted>"(?:[^"\\]|\\.)*")|(?<word>[^\s()<>=!,"]+)/suy;

/**
 * The last token is of kind `end`. Throws FilterError for a text that is too long, and for anything that is not a
 * token.
 */
export function splitFilter(text: string): Token[] {
  if (text.length > MAX_FILTER_CHARS) {
    const found = `${text.length} characters`;
    const expected = `at most ${MAX_FILTER_CHARS}`;
    throw new FilterError({ at: MAX_FILTER_CHARS, length: 1, found, expected });
  }
  const tokens: Token[] = [];
  const pattern = new RegExp(TOKEN);
  for (let at = 0; at < text.length; ) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) throw noToken(text, at);
    const [kind, found] = Object.entries(match.groups ?? {}).find(([, part]) => part !== undefined) ?? [];
    if (found !== undefined && isKind(kind)) {
      const value = kind === 'quoted' ? found.slice(1, -1).replace(/\\(.)/gsu, '$1') : found;
      tokens.push({ kind, text: value, at, length: found.length });
    }
    at = pattern.lastIndex;
  }
  return [...tokens, { kind: 'end', text: '', at: text.length, length: 1 }];
}

function isKind(kind: string | undefined): kind is Token['kind'] {
  return kind !== undefined && kind !== 'space';
}

function noToken(text: string, at: number): FilterError {
  if (text[at] === '"') {
    const problem = { found: 'a quotation mark without its end', expected: 'another "' };
    return new FilterError({ at, length: text.length - at, ...problem });
  }
  return new FilterError({ at, length: 1, found: "'!'", expected: '!= or not' });
}
