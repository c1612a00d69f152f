/**
 * The one language in which gateways are chosen, for lists, groups and rollouts:
 *
 *     filter = all { "or" all }      all = one { "and" one }
 *     one    = "not" one | "(" filter ")" | FIELD | FIELD OPERATOR value | FIELD "in" "(" value { "," value } ")"
 *     value  = WORD | '"' text '"'
 *
 * A field alone asks whether it is known, or is a flag: `tag.site=berlin and app.hello<2.1 and not silent`.
 */
import type { GatewayRecord } from '../gateway/record.ts';
import { type FieldUse, findField, listFields } from './fields.ts';
import { FilterError, splitFilter, type Token } from './tokens.ts';
import { expectedValue, holds, isOperatorOf, OPERATORS, type Operator, readValue } from './values.ts';

/** Whether the filter chooses a gateway, at `nowS` (Unix seconds). */
type Filter = (gateway: GatewayRecord, nowS: number) => boolean;

/** How deep parentheses and `not` may be nested. */
export const MAX_FILTER_DEPTH = 20;
const KEYWORDS: ReadonlySet<string> = new Set(['and', 'or', 'not', 'in']);

/**
 * The filter that this text says; it chooses all gateways for an empty one. Throws FilterError, which names the
 * place.
 */
export function parseFilter(text: string): Filter {
  const reader = createReader(splitFilter(text));
  if (reader.peek().kind === 'end') return () => true;
  const filter = readAny(reader, 0);
  if (reader.peek().kind !== 'end') throw unexpected(reader.peek(), 'and, or, or the end');
  return filter;
}

interface Reader {
  peek(): Token;
  next(): Token;
  /** Takes the next token if it is this keyword. */
  takes(keyword: string): boolean;
}

function createReader(tokens: readonly Token[]): Reader {
  let at = 0;
  const peek = (): Token => tokens[at] ?? { kind: 'end', text: '', at: 0, length: 1 };
  const next = (): Token => {
    const token = peek();
    at += 1;
    return token;
  };
  return {
    peek,
    next,
    takes(keyword) {
      const isIt = isKeyword(peek()) && peek().text.toLowerCase() === keyword;
      if (isIt) next();
      return isIt;
    },
  };
}

function isKeyword({ kind, text }: Token): boolean {
  return kind === 'word' && KEYWORDS.has(text.toLowerCase());
}

function readAny(reader: Reader, depth: number): Filter {
  const parts = [readAll(reader, depth)];
  while (reader.takes('or')) parts.push(readAll(reader, depth));
  return (gateway, nowS) => parts.some((part) => part(gateway, nowS));
}

function readAll(reader: Reader, depth: number): Filter {
  const parts = [readOne(reader, depth)];
  while (reader.takes('and')) parts.push(readOne(reader, depth));
  return (gateway, nowS) => parts.every((part) => part(gateway, nowS));
}

function readOne(reader: Reader, depth: number): Filter {
  const token = reader.peek();
  if (depth > MAX_FILTER_DEPTH) throw unexpected(token, `at most ${MAX_FILTER_DEPTH} levels of ( and not`);
  if (reader.takes('not')) {
    const denied = readOne(reader, depth + 1);
    return (gateway, nowS) => !denied(gateway, nowS);
  }
  if (token.kind !== 'open') return readTerm(reader);
  reader.next();
  const inner = readAny(reader, depth + 1);
  if (reader.peek().kind !== 'close') throw unexpected(reader.peek(), 'and, or, or )');
  reader.next();
  return inner;
}

function readTerm(reader: Reader): Filter {
  const name = reader.next();
  if (name.kind !== 'word' || isKeyword(name)) throw unexpected(name, 'a field, not, or (');
  const field = findField(name.text);
  if (field === undefined) throw unexpected(name, `one of ${listFields()}`);
  if (reader.peek().kind === 'operator') return readComparison(reader, field);
  if (reader.peek().text.toLowerCase() === 'in' && isKeyword(reader.peek())) return readList(reader, field);
  // A flag that is not known is false; any other field alone asks whether its value is known.
  return (gateway, nowS) => {
    const found = field.read(gateway, nowS);
    return found !== undefined && found !== false && found !== Number.POSITIVE_INFINITY;
  };
}

function readComparison(reader: Reader, field: FieldUse): Filter {
  const sign = reader.next();
  const operator = OPERATORS.find((one) => one === sign.text);
  if (operator === undefined || !isOperatorOf(field.kind, operator)) {
    const expected = field.kind === 'flag' ? 'no comparison: it is or is not' : '= or !=';
    throw unexpected(sign, expected);
  }
  const wanted = readWanted(reader, field);
  return compare(field, operator, [wanted]);
}

function readList(reader: Reader, field: FieldUse): Filter {
  const sign = reader.next();
  if (!isOperatorOf(field.kind, '=')) throw unexpected(sign, 'no list: it is or is not');
  if (reader.peek().kind !== 'open') throw unexpected(reader.peek(), '(');
  const wanted: (string | number)[] = [];
  do {
    reader.next();
    wanted.push(readWanted(reader, field));
  } while (reader.peek().kind === 'comma');
  if (reader.peek().kind !== 'close') throw unexpected(reader.peek(), ', or )');
  reader.next();
  return compare(field, '=', wanted);
}

function compare(field: FieldUse, operator: Operator, wanted: readonly (string | number)[]): Filter {
  return (gateway, nowS) => {
    const found = field.read(gateway, nowS);
    return wanted.some((one) => holds(found, operator, one));
  };
}

function readWanted(reader: Reader, { kind }: FieldUse): string | number {
  const token = reader.next();
  const isValue = token.kind === 'quoted' || (token.kind === 'word' && !isKeyword(token));
  const value = isValue ? readValue(kind, token.text) : undefined;
  if (value === undefined) throw unexpected(token, expectedValue(kind));
  return value;
}

function unexpected(token: Token, expected: string): FilterError {
  const shown = token.text.length > 40 ? `${token.text.slice(0, 40)}...` : token.text;
  const found = token.kind === 'end' ? 'the end' : `'${shown}'`;
  return new FilterError({ at: token.at, length: token.length, found, expected });
}
