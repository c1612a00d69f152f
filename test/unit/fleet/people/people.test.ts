/** Who may do what, how tokens open, and what an audit cannot hide. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type AuditEntry,
  type AuditFacts,
  chainEntry,
  NO_ENTRY,
  verifyAudit,
} from '../../../../src/fleet/people/audit.ts';
import { CALLS, type Call, mayCall, needsApproval, ROLES } from '../../../../src/fleet/people/roles.ts';
import { makeToken, opens, parseToken } from '../../../../src/fleet/people/tokens.ts';

/** The table once more, by role: what each may do beside reading and planning. */
const MAY: Readonly<Record<(typeof ROLES)[number], string>> = {
  viewer: '',
  operator:
    'gateway.tag gateway.hold gateway.command gateway.import group.write rollout.start rollout.pause rollout.resume rollout.go-on rollout.retry rollout.abort rollout.undo',
  releaser: 'content.write',
  approver: 'rollout.pause rollout.approve',
  admin: Object.keys(CALLS).join(' '),
};

function isCall(name: string): name is Call {
  return Object.hasOwn(CALLS, name);
}

for (const role of ROLES)
  for (const call of Object.keys(CALLS).filter(isCall)) {
    const may = ['fleet.read', 'rollout.plan'].includes(call) || MAY[role].split(' ').includes(call);
    test(`${role} ${may ? 'may' : 'may not'} ${call}, in the product of the grant alone`, () => {
      assert.equal(mayCall([{ role, product: 'p' }], call, 'p'), may);
      assert.equal(mayCall([{ role, product: '*' }], call, 'p'), may);
      assert.equal(mayCall([{ role, product: 'q' }], call, 'p'), false);
      assert.equal(mayCall([{ role, product: 'p' }], call, '*'), false);
      assert.equal(mayCall([], call, 'p'), false);
    });
  }

test('an operator needs a second person for many gateways, an admin does not', () => {
  assert.equal(needsApproval([{ role: 'operator', product: 'p' }], 'p', 100), false);
  assert.equal(needsApproval([{ role: 'operator', product: 'p' }], 'p', 101), true);
  assert.equal(
    needsApproval(
      [
        { role: 'admin', product: 'q' },
        { role: 'operator', product: 'p' },
      ],
      'p',
      101,
    ),
    true,
  );
  assert.equal(needsApproval([{ role: 'admin', product: '*' }], 'p', 101), false);
});

test('a token opens until its time has passed, another secret never', () => {
  const { text, id, digest } = makeToken(Buffer.alloc(38, 7));
  const parsed = parseToken(text);
  const stored = { id, digest, name: 'ann', grants: [], expiresAt: 100 };
  assert.equal(parsed?.id, id);
  assert.equal(opens(stored, parsed?.secret ?? '', 99), true);
  assert.equal(opens(stored, parsed?.secret ?? '', 100), false);
  assert.equal(opens(stored, 'f'.repeat(64), 99), false);
  assert.equal(opens({ ...stored, digest: '' }, parsed?.secret ?? '', 99), false);
  assert.doesNotMatch(digest, new RegExp(parsed?.secret ?? 'none'));
  for (const other of ['', 'gwet_', text.slice(1), `${text}0`, text.toUpperCase()])
    assert.equal(parseToken(other), undefined);
});

const facts = fc.record({
  at: fc.nat(),
  actor: fc.string(),
  request: fc.string(),
  action: fc.constantFrom('rollout.start', 'gateway.tag'),
  target: fc.string(),
  before: fc.string(),
  after: fc.string(),
});

function chain(all: readonly AuditFacts[]): AuditEntry[] {
  const entries: AuditEntry[] = [];
  for (const one of all) entries.push(chainEntry(entries.at(-1) ?? NO_ENTRY, one));
  return entries;
}

const some = fc.array(facts, { minLength: 2, maxLength: 12 });

test('an audit that is whole is found whole, to its last entry', () => {
  fc.assert(
    fc.property(some, (all) => {
      const entries = chain(all);
      assert.equal(verifyAudit(entries), entries.at(-1));
      assert.equal(verifyAudit(entries, entries.at(-1)), entries.at(-1));
      assert.equal(verifyAudit([]), NO_ENTRY);
    }),
  );
});

test('a changed, a missing and a moved entry are found, each as what it is', () => {
  fc.assert(
    fc.property(
      some,
      fc.nat(),
      fc.constantFrom('at', 'actor', 'request', 'action', 'target', 'before', 'after'),
      (all, pick, field) => {
        const entries = chain(all);
        const at = pick % entries.length;
        const changed = entries.map((entry, index) =>
          index === at ? { ...entry, [field]: field === 'at' ? -1 : 'forged' } : entry,
        );
        assert.deepEqual(verifyAudit(changed), { number: at + 1, kind: 'changed' });
        const head = entries.at(-1);
        assert.deepEqual(verifyAudit(entries.toSpliced(at, 1), head), { number: at + 1, kind: 'missing' });
        const other = (at + 1) % entries.length;
        const [low, high] = [Math.min(at, other), Math.max(at, other)];
        const moved = entries.map(
          (entry, index) => (index === low ? entries[high] : index === high ? entries[low] : entry) ?? entry,
        );
        assert.deepEqual('kind' in verifyAudit(moved), true);
      },
    ),
  );
});

test('an entry that comes again is out of order; a rebuilt chain differs from the known head', () => {
  const entries = chain(
    [1, 2, 3].map((at) => ({
      at,
      actor: 'ann',
      request: '',
      action: 'x',
      target: '',
      before: '',
      after: '',
    })),
  );
  const [first, second] = entries;
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual(verifyAudit([first, second, first]), { number: 1, kind: 'reordered' });
  const rebuilt = chain(
    [1, 2, 4].map((at) => ({
      at,
      actor: 'eve',
      request: '',
      action: 'x',
      target: '',
      before: '',
      after: '',
    })),
  );
  assert.deepEqual(verifyAudit(rebuilt, entries.at(-1)), { number: 3, kind: 'changed' });
});
