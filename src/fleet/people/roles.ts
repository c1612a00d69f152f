/** Who may do what: one table of calls and roles. Whatever is not in it is refused. */

export const ROLES = ['viewer', 'operator', 'releaser', 'approver', 'admin'] as const;
type Role = (typeof ROLES)[number];

/** Call -> the roles that may make it. */
export const CALLS = {
  'fleet.read': ROLES,
  'rollout.plan': ROLES,
  'gateway.tag': ['operator', 'admin'],
  'gateway.hold': ['operator', 'admin'],
  'gateway.command': ['operator', 'admin'],
  'gateway.import': ['operator', 'admin'],
  'gateway.remove': ['admin'],
  'group.write': ['operator', 'admin'],
  'rollout.start': ['operator', 'admin'],
  'rollout.pause': ['operator', 'approver', 'admin'],
  'rollout.resume': ['operator', 'admin'],
  'rollout.go-on': ['operator', 'admin'],
  'rollout.retry': ['operator', 'admin'],
  'rollout.abort': ['operator', 'admin'],
  'rollout.undo': ['operator', 'admin'],
  'rollout.approve': ['approver', 'admin'],
  'content.write': ['releaser', 'admin'],
  'token.write': ['admin'],
  'notice.write': ['admin'],
  'operator.write': ['admin'],
  'audit.read': ['admin'],
} as const satisfies Record<string, readonly Role[]>;

export type Call = keyof typeof CALLS;

/** A role in one product, or in all of them (`*`). */
export interface Grant {
  readonly role: Role;
  readonly product: string;
}

/** A call that concerns no single product needs a grant for all of them. */
export function mayCall(grants: readonly Grant[], call: Call, product: string): boolean {
  const allowed: readonly Role[] = CALLS[call];
  return grants.some(
    (grant) => allowed.includes(grant.role) && (grant.product === '*' || grant.product === product),
  );
}

/** Gateways that an operator may roll out to without a second person. */
const MOST_UNAPPROVED = 100;

export function needsApproval(grants: readonly Grant[], product: string, gateways: number): boolean {
  const isAdmin = grants.some(({ role, product: of }) => role === 'admin' && (of === '*' || of === product));
  return !isAdmin && gateways > MOST_UNAPPROVED;
}
