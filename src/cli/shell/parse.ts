/** argv -> options under a table: prefixes, aliases, joined and separate values. minimist does the last step. */
import minimist from 'minimist';
import { GweError } from '../../base/errors.ts';
import type { OptionSpec, ParsedOptions } from './command.ts';

interface ParsedArguments {
  options: ParsedOptions;
  positionals: readonly string[];
}

/** Throws USAGE_BAD_OPTION for what the table does not have, USAGE_MISSING for an option without its value. */
export function parseArguments(argv: readonly string[], specs: readonly OptionSpec[]): ParsedArguments {
  const parsed = minimist([...canonicalArguments(argv, specs)], {
    string: ['_', ...specs.filter((spec) => spec.value !== undefined).map((spec) => spec.name)],
    boolean: specs.filter((spec) => spec.value === undefined).map((spec) => spec.name),
  });
  const list = (name: string): string[] => {
    const value: unknown = parsed[name];
    return (Array.isArray(value) ? value : [value]).filter(
      (item): item is string => typeof item === 'string',
    );
  };
  return {
    positionals: parsed._.map(String),
    options: {
      has: (name) => parsed[name] === true || list(name).length > 0,
      text: (name) => list(name).at(-1),
      list,
    },
  };
}

/** Every option as `--name` or `--name=value` with its full name, the rest behind `--`. */
function canonicalArguments(argv: readonly string[], specs: readonly OptionSpec[]): string[] {
  const options: string[] = [];
  const positionals: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') positionals.push(...rest.splice(0));
    else if (word.startsWith('--')) options.push(...takeLong(word, rest, specs));
    else if (looksLikeOption(word)) options.push(...takeShort(word, rest, specs));
    else positionals.push(word);
  }
  return [...options, '--', ...positionals];
}

function takeLong(word: string, rest: string[], specs: readonly OptionSpec[]): string[] {
  const equals = word.indexOf('=');
  const given = word.slice(2, equals === -1 ? undefined : equals);
  const spec = resolveLongName(given, specs);
  if (spec.value === undefined) {
    if (equals !== -1)
      throw new GweError('USAGE_BAD_OPTION', `option --${spec.name} takes no value, found '${word}'`);
    return [`--${spec.name}`];
  }
  return takeValues(spec, equals === -1 ? undefined : word.slice(equals + 1), rest);
}

/** `-t60`, `-t 60`, `-oC`: letters are flags up to the first that takes a value. */
function takeShort(word: string, rest: string[], specs: readonly OptionSpec[]): string[] {
  const found: string[] = [];
  for (let at = 1; at < word.length; at++) {
    const spec = specs.find((candidate) => candidate.short === word[at]);
    if (spec === undefined) throw unknownOption(`-${word[at]}`, specs);
    if (spec.value !== undefined) {
      const joined = word.slice(at + 1).replace(/^=/, '');
      return [...found, ...takeValues(spec, word.length > at + 1 ? joined : undefined, rest)];
    }
    found.push(`--${spec.name}`);
  }
  return found;
}

function takeValues(spec: OptionSpec, joined: string | undefined, rest: string[]): string[] {
  const first = joined ?? rest.shift();
  if (first === undefined || (joined === undefined && looksLikeOption(first))) {
    throw new GweError('USAGE_MISSING', `option --${spec.name} needs a value: ${spec.value}`);
  }
  const values = [first];
  while (spec.many === true && rest[0] !== undefined && !looksLikeOption(rest[0]))
    values.push(rest.shift() ?? '');
  return values.map((value) => `--${spec.name}=${value}`);
}

/** A negative number is a value, not an option. */
function looksLikeOption(word: string): boolean {
  return /^-./.test(word) && !/^-\d/.test(word);
}

/** Exact name or alias, else an unambiguous prefix of a name. */
function resolveLongName(given: string, specs: readonly OptionSpec[]): OptionSpec {
  const exact = specs.find((spec) => spec.name === given || spec.aliases?.includes(given));
  if (exact !== undefined) return exact;
  const matches = given === '' ? [] : specs.filter((spec) => spec.name.startsWith(given));
  if (matches.length === 1 && matches[0] !== undefined) return matches[0];
  if (matches.length > 1) {
    const names = matches.map((spec) => `--${spec.name}`).join(', ');
    throw new GweError('USAGE_BAD_OPTION', `option --${given} is ambiguous: could be ${names}`);
  }
  throw unknownOption(`--${given}`, specs);
}

function unknownOption(given: string, specs: readonly OptionSpec[]): GweError {
  const names = specs.flatMap((spec) => [
    `--${spec.name}`,
    ...(spec.short === undefined ? [] : [`-${spec.short}`]),
  ]);
  const nearest = nearestWord(given, names);
  return new GweError(
    'USAGE_BAD_OPTION',
    `unknown option ${given}${nearest === undefined ? '' : `, did you mean ${nearest}?`}`,
  );
}

/**
 * The candidate that `word` was probably meant to be, if any is close at all: by the letters of the whole, or by its
 * parts between dashes and underscores (`--set-intervall` for `--set-update-interval`).
 */
export function nearestWord(word: string, candidates: readonly string[]): string | undefined {
  const given = word.toLowerCase();
  // Every short option is one letter from every other: only the wrong case says what was meant.
  if (given.length <= 2) return candidates.find((candidate) => candidate.toLowerCase() === given);
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: wordDistance(given, candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(word.length / 2.5))
    ? best.candidate
    : undefined;
}

function wordDistance(a: string, b: string): number {
  return Math.min(editDistance(a, b), partDistance(parts(a), parts(b)));
}

function parts(word: string): string[] {
  return word.split(/[-_]/).filter((part) => part !== '');
}

/** Each part of `given` against its best partner in `candidate`; a part that only one of them has costs a half. */
function partDistance(given: readonly string[], candidate: readonly string[]): number {
  const left = [...candidate];
  let sum = 0;
  for (const part of given) {
    const distances = left.map((other) => (other.startsWith(part) ? 0 : editDistance(part, other)));
    const best = Math.min(...distances, part.length);
    if (best < part.length) left.splice(distances.indexOf(best), 1);
    sum += best;
  }
  return sum + left.length / 2;
}

/** Letters put in, left out, replaced, or swapped with their neighbour. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? (before[j - 2] ?? 0) + 1 : substitution;
      next.push(Math.min(substitution, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? a.length;
}
