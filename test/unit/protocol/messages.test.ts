import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchArtifactName } from '../../../src/artifact/name.ts';
import { decodePart } from '../../../src/protocol/codec.ts';
import {
  decodeInstruction,
  decodeInterval,
  MAX_FETCH_STATUS_BYTES,
  renderFetchStatus,
} from '../../../src/protocol/messages.ts';

function nameProblem(name: string): string | undefined {
  return matchArtifactName(name) === undefined ? `bad name ${name}` : undefined;
}

function names(text: string): unknown {
  const instruction = decodeInstruction(text, nameProblem);
  assert.equal(instruction.kind, 'install');
  return instruction.kind === 'install' ? instruction.entries.map((entry) => entry.contentId) : [];
}

function reasonOf(text: string): string {
  const instruction = decodeInstruction(text, nameProblem);
  return instruction.kind === 'invalid' ? instruction.reason : `not invalid: ${instruction.kind}`;
}

test('vector 18: an empty engine_fetch is nothing to do', () => {
  assert.deepEqual(decodeInstruction(''), { kind: 'none' });
  assert.deepEqual(decodeInstruction(' \n'), { kind: 'none' });
});

test('vector 19: the encoded command of the documentation is one install', () => {
  const encoded = '%7B%22install%22%3A%20%5B%7B%22name%22%3A%20%22test_app.v1.tar.gz%22%7D%5D%7D';
  assert.deepEqual(names(decodePart(encoded)), ['test_app.v1.tar.gz']);
});

test('vector 20: a command without spaces is one install', () => {
  assert.deepEqual(names('{"install":[{"name":"th02.v1.tar.gz"}]}'), ['th02.v1.tar.gz']);
});

test('vector 21: a version with dots is taken', () => {
  assert.deepEqual(names('{"install": [{"name": "your_app.v1.2.3.tar.gz"}]}'), ['your_app.v1.2.3.tar.gz']);
});

test('other keys are ignored, order is kept and a digest is taken in lower case', () => {
  const sha256 = 'AB'.repeat(32);
  const text = JSON.stringify({
    id: 7,
    install: [{ name: 'b.v1.tar.gz', sha256, force: true }, { name: 'a.v1.tar.gz' }],
  });
  assert.deepEqual(decodeInstruction(text, nameProblem), {
    kind: 'install',
    entries: [{ contentId: 'b.v1.tar.gz', sha256: sha256.toLowerCase() }, { contentId: 'a.v1.tar.gz' }],
  });
});

test('a bad entry is reported and the others go on', () => {
  const text = JSON.stringify({
    install: [
      { name: '../x.v1.tar.gz' },
      7,
      { vers: 1 },
      { name: 'a.v1.tar.gz', sha256: 'short' },
      { name: 'b.v2.tar.gz' },
    ],
  });
  const instruction = decodeInstruction(text, nameProblem);
  assert.ok(instruction.kind === 'install');
  const problems = instruction.entries.map((entry) => entry.problem);
  assert.match(problems[0] ?? '', /\.\.\/x/);
  assert.match(problems[1] ?? '', /"7"/);
  assert.match(problems[2] ?? '', /'name' is missing/);
  assert.match(problems[3] ?? '', /sha256 is "short".*64/);
  assert.equal(problems[4], undefined);
});

for (const [text, found] of [
  ['reboot', /not JSON: "reboot"/],
  ['[{"name":"a.v1.tar.gz"}]', /a list instead of an object/],
  ['null', /"null" instead of an object/],
  ['{"remove":[]}', /no key 'install'/],
  ['{"install":{"name":"a.v1.tar.gz"}}', /'install' is an object/],
  ['{"install":"a.v1.tar.gz"}', /'install' is "a\.v1/],
  [JSON.stringify({ install: Array(33).fill({ name: 'a.v1.tar.gz' }) }), /33 entries, more than 32/],
  [JSON.stringify({ install: [], pad: 'x'.repeat(70_000) }), /7\d{4} bytes, more than 65536/],
  ['{"\u001b[2J\n', /not JSON/],
  [`${'['.repeat(60_000)}`, /not JSON/],
] as const) {
  test(`${text.slice(0, 40).replace(/\p{Cc}/gu, '?')} is no command, and the reason says why`, () => {
    const reason = reasonOf(text);
    assert.match(reason, found);
    assert.match(reason, /expected \{"install": \[\{"name"/);
    assert.doesNotMatch(reason, /\p{Cc}/u);
    assert.ok(reason.length < 300);
  });
}

test('the name that a command has is kept, and one that is no name is no reason to refuse it', () => {
  const named = (id: unknown): unknown => {
    const instruction = decodeInstruction(JSON.stringify({ id, install: [{ name: 'a.v1.tar.gz' }] }));
    assert.equal(instruction.kind, 'install');
    return instruction.kind === 'install' ? instruction.id : 'none';
  };
  assert.equal(named('r-7.1:2_x'), 'r-7.1:2_x');
  for (const id of ['', 'two words', 'x'.repeat(81), 7, null, {}, undefined])
    assert.equal(named(id), undefined);
});

test('an object named __proto__ does no harm', () => {
  assert.match(reasonOf('{"__proto__":{"install":[{"name":"a.v1.tar.gz"}]}}'), /no key 'install'/);
});

test('vector 51: an interval of whole seconds is taken', () => {
  assert.deepEqual(decodeInterval('60'), { seconds: 60 });
  assert.deepEqual(decodeInterval(' 1\n'), { seconds: 1 });
  assert.deepEqual(decodeInterval('31536000'), { seconds: 31_536_000 });
});

for (const text of ['0', '-5', 'abc', '1e9', '60.5', '31536001', '', '0x10', '９', '9'.repeat(400)]) {
  test(`vector 52: update_interval '${text.slice(0, 12)}' is a problem that names what was found and expected`, () => {
    const decoded = decodeInterval(text);
    assert.ok('problem' in decoded);
    assert.ok(decoded.problem.includes(`"${text.slice(0, 60)}`), decoded.problem);
    assert.match(decoded.problem, /expected whole seconds from 1 to 31536000/);
    assert.ok(decoded.problem.length < 200);
  });
}

const STATUS = { name: 'a', version: '1', status: 'success', exitcode: 0, test: 'passed', info: 'done\n' };

test('fetch_status is the JSON object of the original with our keys behind it', () => {
  const text = renderFetchStatus({ ...STATUS, outcome: 'installed', notes: ['n'], code: undefined }, 'json');
  assert.equal(
    text,
    '{"name":"a","version":"1","status":"success","exitcode":0,"test":"passed","info":"done\\n","outcome":"installed","notes":["n"]}',
  );
});

test('fetch_status as text starts with the raw output', () => {
  const text = renderFetchStatus({ ...STATUS, outcome: 'installed' }, 'text');
  assert.equal(
    text,
    'done\nname: a\nversion: 1\nstatus: success\nexitcode: 0\ntest: passed\noutcome: installed\n',
  );
});

for (const [what, info] of [
  ['plain', `${'x'.repeat(300_000)}THE END`],
  ['control characters', `${'\u0001\n"'.repeat(50_000)}THE END`],
  ['many-byte characters', `${'\u{1F600}ü'.repeat(40_000)}THE END`],
  ['lone surrogates', `${'\uD800'.repeat(40_000)}THE END`],
] as const) {
  test(`an endless output of ${what} keeps its end and a marker within the limit`, () => {
    for (const format of ['json', 'text'] as const) {
      const text = renderFetchStatus({ ...STATUS, info, reason: 'r'.repeat(10_000) }, format);
      assert.ok(Buffer.byteLength(text) <= MAX_FETCH_STATUS_BYTES);
      const shown: unknown = format === 'json' ? JSON.parse(text).info : text;
      assert.match(String(shown), /^\[\.\.\. \d+ bytes left out \.\.\.\]\n/);
      assert.match(String(shown), /THE END/);
      assert.ok(Buffer.byteLength(text) > 20_000);
    }
  });
}

test('what is left out counts what the gateway had left out before', () => {
  const half = 'x'.repeat(20_000);
  const info = `${half}\n[... 5000000 bytes left out ...]\n${half}`;
  const shown: unknown = JSON.parse(renderFetchStatus({ ...STATUS, info }, 'json', 4096)).info;
  const [mark = '', leftOut = '0'] = /^\[\.\.\. (\d+) bytes left out \.\.\.\]\n/.exec(String(shown)) ?? [];
  assert.equal(Number(leftOut) + String(shown).length - mark.length, 5_040_000);
});

test('an entry is urgent only when it says true', () => {
  const urgency = (urgent: unknown): unknown => {
    const decoded = decodeInstruction(
      JSON.stringify({ install: [{ name: 'a.v1.tar.gz', urgent }] }),
      nameProblem,
    );
    return decoded.kind === 'install' ? decoded.entries[0]?.urgent : decoded;
  };
  assert.equal(urgency(true), true);
  for (const other of [false, 'true', 1, null, {}, undefined]) assert.equal(urgency(other), undefined);
});

test('the time and the window of a command are read, and nothing that cannot be read passes for none', () => {
  const decode = (more: object): unknown => {
    const decoded = decodeInstruction(JSON.stringify({ install: [{ name: 'a.v1.tar.gz' }], ...more }));
    if (decoded.kind !== 'install') return decoded.kind;
    const { notBefore, window, isTogether } = decoded;
    return { notBefore, window, isTogether };
  };
  const none = { notBefore: undefined, window: undefined, isTogether: undefined };
  assert.deepEqual(decode({}), none);
  assert.deepEqual(decode({ not_before: null, window: '', together: false }), none);
  assert.deepEqual(decode({ not_before: 1_800_000_000, window: 'Sun 01:00-02:00 local', together: true }), {
    notBefore: 1_800_000_000,
    window: 'Sun 01:00-02:00 local',
    isTogether: true,
  });
  assert.deepEqual(decode({ not_before: '2027-01-15T08:00:00Z' }), { ...none, notBefore: 1_800_000_000 });
  for (const more of [
    { not_before: 'soon' },
    { not_before: -1 },
    { not_before: 1e300 },
    { window: 5 },
    { together: 1 },
  ])
    assert.equal(decode(more), 'invalid', JSON.stringify(more));
});
