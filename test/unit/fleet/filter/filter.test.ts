/** The language in which gateways are chosen, against another reading of it over random fleets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_FILTER_DEPTH, parseFilter } from '../../../../src/fleet/filter/filter.ts';
import { FilterError, MAX_FILTER_CHARS } from '../../../../src/fleet/filter/tokens.ts';
import type { GatewayRecord } from '../../../../src/fleet/gateway/record.ts';
import { gatewayRecord } from '../../../helpers/fleet-records.ts';

const NOW_S = 1_800_000_000;

function chooses(text: string, parts: Partial<GatewayRecord>): boolean {
  return parseFilter(text)(gatewayRecord(parts), NOW_S);
}

const hello = (version: string, more = {}): Partial<GatewayRecord> => ({
  apps: new Map([['hello', { version, status: 'RUNNING', seenAt: NOW_S, ...more }]]),
});

const CASES: readonly [text: string, gateway: Partial<GatewayRecord>, isChosen: boolean][] = [
  ['', {}, true],
  ['  ', {}, true],
  ['tag.site=berlin', { tags: new Map([['site', 'berlin']]) }, true],
  ['tag.site=Berlin', { tags: new Map([['site', 'berlin']]) }, false],
  ['tag.site=ber*', { tags: new Map([['site', 'berlin']]) }, true],
  ['tag.site="ber lin"', { tags: new Map([['site', 'ber lin']]) }, true],
  ['tag.site="a\\"b"', { tags: new Map([['site', 'a"b']]) }, true],
  ['tag.site', { tags: new Map([['site', '']]) }, true],
  ['tag.site', {}, false],
  ['not tag.site', {}, true],
  ['tag.site.room=2', { tags: new Map([['site.room', '2']]) }, true],
  ['tag.site!=berlin', {}, true],
  ['tag.constructor', {}, false],
  ['app.hello<2.1', hello('2.0.9'), true],
  ['app.hello<2.1', hello('2.1.0'), false],
  ['app.hello<2.1', hello('2.1-rc1'), true],
  ['app.hello<2.1', {}, false],
  ['app.hello>=2.1', {}, false],
  ['app.hello=2.*', hello('2.7'), true],
  ['app.hello in (2.6, 2.7)', hello('2.7'), true],
  ['app.hello in (2.6)', hello('2.7'), false],
  ['app.hello', hello('2.7'), true],
  ['app.hello.status=FATAL', hello('2.7', { status: 'FATAL' }), true],
  ['app.hello.restarts>3', hello('2.7', { restarts: 4 }), true],
  ['app.hello.restarts>3', hello('2.7'), false],
  ['seen>1d', { lastSeenAt: NOW_S - 86_401 }, true],
  ['seen>1d', { lastSeenAt: NOW_S - 86_400 }, false],
  ['seen>1d', { lastSeenAt: 0 }, true],
  ['seen', { lastSeenAt: 0 }, false],
  ['free<100M', { freeBytes: 99_999_999 }, true],
  ['free<100M', {}, false],
  ['silent', { expectedBy: NOW_S - 1 }, true],
  ['silent', { expectedBy: 0 }, false],
  ['held', { hold: 'on the bench' }, true],
  ['shared', { isShared: true }, true],
  ['gwe<2.0', { gweVersion: '1.9' }, true],
  ['serial=a or serial=b and serial=c', { serial: 'a' }, true],
  ['(serial=a or serial=b) and serial=c', { serial: 'a' }, false],
  ['not serial=a and serial=b', { serial: 'b' }, true],
  ['NOT(serial=a)OR silent', { serial: 'a' }, false],
];

for (const [text, gateway, isChosen] of CASES) {
  test(`'${text}' chooses ${isChosen ? '' : 'not '}${JSON.stringify(Object.keys(gateway))}`, () => {
    assert.equal(chooses(text, gateway), isChosen);
  });
}

const PROBLEMS: readonly [text: string, at: number, found: RegExp, expected: RegExp][] = [
  ['tag.site=', 9, /the end/, /a text/],
  ['tag.site=berlin app.hello<2', 16, /'app\.hello'/, /and, or/],
  ['sit=berlin', 0, /'sit'/, /serial, product/],
  ['app.=1', 0, /'app\.'/, /one of/],
  ['app.hello.=1', 0, /'app\.hello\.'/, /one of/],
  ['app.hello.size=1', 0, /'app\.hello\.size'/, /one of/],
  ['seen>1x', 5, /'1x'/, /15m/],
  ['seen>', 5, /the end/, /15m/],
  ['free<1Q', 5, /'1Q'/, /20M/],
  ['serial<a', 6, /'<'/, /= or !=/],
  ['silent=yes', 6, /'='/, /it is or is not/],
  ['silent in (a)', 7, /'in'/, /it is or is not/],
  ['(serial=a', 9, /the end/, /\)/],
  ['serial=a)', 8, /'\)'/, /the end/],
  ['serial=a and', 12, /the end/, /a field/],
  ['and', 0, /'and'/, /a field/],
  ['serial!a', 6, /'!'/, /!=/],
  ['tag.a="x', 6, /without its end/, /another "/],
  ['serial in a', 10, /'a'/, /\(/],
  ['serial in ()', 11, /'\)'/, /a text/],
  ['serial in (a b)', 13, /'b'/, /, or \)/],
  [`${'('.repeat(MAX_FILTER_DEPTH + 1)}serial`, MAX_FILTER_DEPTH + 1, /'serial'/, /levels/],
  [`${'not '.repeat(400)}serial`, 4 * (MAX_FILTER_DEPTH + 1), /'not'/, /levels/],
  [' '.repeat(MAX_FILTER_CHARS + 1), MAX_FILTER_CHARS, /2001 characters/, /at most 2000/],
];

for (const [text, at, found, expected] of PROBLEMS) {
  test(`what is wrong with '${text.slice(0, 30)}' is said with its place`, () => {
    assert.throws(
      () => parseFilter(text),
      (error) => {
        assert.ok(error instanceof FilterError);
        assert.equal(error.problem.at, at);
        assert.match(error.problem.found, found);
        assert.match(error.problem.expected, expected);
        assert.match(error.message, new RegExp(`at character ${at + 1}:`));
        return true;
      },
    );
  });
}

test('any text is a filter or an error with a place in it', () => {
  const piece = fc.constantFrom(
    'serial',
    '=',
    '(',
    ')',
    'and',
    'or',
    'not',
    'in',
    '"',
    ',',
    '<',
    '1d',
    '*',
    ' ',
    '\\',
    'ü',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(piece).map((all) => all.join('')),
      ),
      (text) => {
        try {
          parseFilter(text)(gatewayRecord({}), NOW_S);
        } catch (error) {
          assert.ok(error instanceof FilterError, String(error));
          assert.ok(error.problem.at >= 0 && error.problem.at <= text.length);
        }
      },
    ),
    { numRuns: 2000 },
  );
});

test('the longest pattern over the longest text takes no time to speak of', () => {
  const pattern = `tag.a="${'*a'.repeat(900)}*b"`;
  assert.equal(chooses(pattern, { tags: new Map([['a', 'a'.repeat(100_000)]]) }), false);
});

/** A filter as a tree: written out it is the text, and looked at plainly it is what the text has to mean. */
type Tree =
  | { kind: 'and' | 'or'; parts: Tree[] }
  | { kind: 'not'; part: Tree }
  | { kind: 'is'; text: string; of: (gateway: GatewayRecord) => boolean };

const version = fc.constantFrom('1.0', '1.2', '1.10', '2.0');
const VERSIONS = ['1.0', '1.2', '1.10', '2.0'];
const word: fc.Arbitrary<string> = fc.constantFrom('berlin', 'bern', 'rome', 'oslo', 'b');
const operator = fc.constantFrom('=', '!=', '<', '<=', '>', '>=');

function compares(found: number | undefined, sign: string, wanted: number): boolean {
  if (found === undefined) return sign === '!=';
  const truths: Record<string, boolean> = {
    '=': found === wanted,
    '!=': found !== wanted,
    '<': found < wanted,
    '<=': found <= wanted,
    '>': found > wanted,
    '>=': found >= wanted,
  };
  return truths[sign] === true;
}

const leaf: fc.Arbitrary<Tree> = fc.oneof(
  fc.tuple(fc.constantFrom('site', 'room'), word, fc.boolean()).map(
    ([key, text, isNot]): Tree => ({
      kind: 'is',
      text: `tag.${key}${isNot ? '!=' : '='}${text}`,
      of: ({ tags }) => (tags.get(key) === text) !== isNot,
    }),
  ),
  fc.tuple(fc.constantFrom('site', 'room'), word).map(
    ([key, text]): Tree => ({
      kind: 'is',
      text: `tag.${key}="${text}*"`,
      of: ({ tags }) => new RegExp(`^${text}.*$`).test(tags.get(key) ?? '\n'),
    }),
  ),
  fc.tuple(operator, version).map(
    ([sign, wanted]): Tree => ({
      kind: 'is',
      text: `app.hello${sign}${wanted}`,
      of: ({ apps }) => {
        const app = apps.get('hello');
        return compares(app && VERSIONS.indexOf(app.version), sign, VERSIONS.indexOf(wanted));
      },
    }),
  ),
  fc.tuple(operator, fc.integer({ min: 0, max: 4 })).map(
    ([sign, days]): Tree => ({
      kind: 'is',
      text: `seen ${sign} ${days}d`,
      of: ({ lastSeenAt }) =>
        compares(lastSeenAt === 0 ? Number.POSITIVE_INFINITY : (NOW_S - lastSeenAt) / 86_400, sign, days),
    }),
  ),
  fc.uniqueArray(word, { minLength: 1, maxLength: 3 }).map(
    (words): Tree => ({
      kind: 'is',
      text: `serial in (${words.join(' , ')})`,
      of: ({ serial }) => words.includes(serial),
    }),
  ),
  fc.constant<Tree>({
    kind: 'is',
    text: 'silent',
    of: ({ expectedBy }) => expectedBy > 0 && expectedBy < NOW_S,
  }),
  fc.constant<Tree>({ kind: 'is', text: 'held', of: ({ hold }) => hold !== undefined }),
);

const tree = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    fc.record({
      kind: fc.constantFrom('and', 'or'),
      parts: fc.array(tie('tree'), { minLength: 1, maxLength: 3 }),
    }),
    fc.record({ kind: fc.constant('not'), part: tie('tree') }),
  ) as fc.Arbitrary<Tree>,
})).tree;

function write(node: Tree): string {
  if (node.kind === 'is') return node.text;
  if (node.kind === 'not') return `not (${write(node.part)})`;
  const parts = node.parts.map((part) =>
    part.kind === 'or' && node.kind === 'and' ? `(${write(part)})` : write(part),
  );
  return parts.join(` ${node.kind} `);
}

function means(node: Tree, gateway: GatewayRecord): boolean {
  if (node.kind === 'is') return node.of(gateway);
  if (node.kind === 'not') return !means(node.part, gateway);
  const truths = node.parts.map((part) => means(part, gateway));
  return node.kind === 'and' ? !truths.includes(false) : truths.includes(true);
}

const gateway = fc
  .record({
    serial: word,
    site: fc.option(word),
    room: fc.option(word),
    version: fc.option(version),
    seenDays: fc.option(fc.integer({ min: 0, max: 4 })),
    expectedBy: fc.constantFrom(0, NOW_S - 5, NOW_S, NOW_S + 5),
    hold: fc.option(fc.constant('bench'), { nil: undefined }),
  })
  .map(({ serial, site, room, version: found, seenDays, expectedBy, hold }) => {
    const tags = Object.entries({ site, room }).flatMap(([key, text]): [string, string][] =>
      text === null ? [] : [[key, text]],
    );
    return gatewayRecord({
      serial,
      tags: new Map(tags),
      ...(found === null ? {} : hello(found)),
      lastSeenAt: seenDays === null ? 0 : NOW_S - seenDays * 86_400,
      expectedBy,
      hold,
    });
  });

test('over any fleet a filter chooses what another reading of the same tree chooses', () => {
  fc.assert(
    fc.property(tree, fc.array(gateway, { minLength: 1, maxLength: 20 }), (node, fleet) => {
      const text = write(node);
      if (text.length > MAX_FILTER_CHARS) return;
      const filter = parseFilter(text);
      for (const one of fleet) assert.equal(filter(one, NOW_S), means(node, one), text);
    }),
    { numRuns: 500 },
  );
});
