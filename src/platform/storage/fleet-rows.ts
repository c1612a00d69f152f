/** Fleet data that is stored as text in a column, and decoded from it. */
import * as v from 'valibot';
import { expectedBy, type Knowledge, NOTHING_KNOWN } from '../../fleet/gateway/learn.ts';
import { isShared } from '../../fleet/gateway/sharing.ts';
import type { AuditEntry, AuditFacts } from '../../fleet/people/audit.ts';
import { type Grant, ROLES } from '../../fleet/people/roles.ts';
import type { StoredToken } from '../../fleet/people/tokens.ts';
import { MEMBER_STATES, type MemberState } from '../../fleet/rollout/member-states.ts';
import type { Rollout } from '../../fleet/rollout/rollout.ts';
import { ROLLOUT_STATES } from '../../fleet/rollout/rollout-states.ts';
import type { Device } from './device-storage.ts';
import type { FleetGateway, StoredEvent, StoredRollout } from './fleet-storage.ts';

type Row = Readonly<Record<string, unknown>>;

const AppSchema = v.object({
  version: v.string(),
  digest: v.optional(v.string()),
  previous: v.optional(v.string()),
  status: v.string(),
  restarts: v.optional(v.number()),
  lastOutcome: v.optional(v.string()),
  seenAt: v.number(),
});

const KnowledgeSchema = v.object({
  gweVersion: v.optional(v.string()),
  target: v.optional(v.string()),
  intervalS: v.optional(v.number()),
  freeBytes: v.optional(v.number()),
  budgetLeftBytes: v.optional(v.number()),
  waiting: v.optional(v.string()),
  traffic: v.optional(
    v.object({
      month: v.string(),
      monthBytes: v.number(),
      purposes: v.array(v.tuple([v.string(), v.number()])),
    }),
  ),
  saved: v.optional(v.object({ month: v.string(), monthBytes: v.number(), counted: v.array(v.string()) })),
  releases: v.optional(
    v.object({
      state: v.picklist(['fresh', 'stale', 'missing']),
      release: v.optional(v.number()),
      expires: v.optional(v.number()),
      isLenient: v.optional(v.boolean()),
    }),
  ),
  apps: v.array(v.tuple([v.string(), AppSchema])),
  traces: v.object({
    boots: v.array(v.string()),
    bootTimes: v.array(v.number()),
    failures: v.object({ greatest: v.number(), isBehind: v.boolean(), returns: v.number() }),
    addresses: v.array(v.string()),
    sign: v.optional(v.object({ at: v.number(), why: v.string() })),
  }),
  unreadable: v.optional(v.object({ alias: v.string(), at: v.number() })),
});

export function encodeKnowledge(knowledge: Knowledge): string {
  return JSON.stringify({ ...knowledge, apps: [...knowledge.apps] });
}

/** Without a row, nothing is known. */
export function decodeKnowledge(text: unknown): Knowledge {
  if (typeof text !== 'string') return NOTHING_KNOWN;
  const { apps, ...rest } = v.parse(KnowledgeSchema, JSON.parse(text));
  return { ...rest, apps: new Map(apps) };
}

const CountsSchema = v.object({
  waiting: v.number(),
  offered: v.number(),
  taken: v.number(),
  working: v.number(),
  deferred: v.number(),
  installed: v.number(),
  succeeded: v.number(),
  failed: v.number(),
  silent: v.number(),
  unreachable: v.number(),
  withdrawn: v.number(),
  superseded: v.number(),
  excluded: v.number(),
});

const RangeSchema = v.object({ days: v.array(v.number()), from: v.string(), to: v.string() });

const RolloutSchema = v.object({
  id: v.string(),
  artifacts: v.array(v.object({ app: v.string(), version: v.string(), digest: v.optional(v.string()) })),
  policy: v.object({
    limit: v.number(),
    need: v.number(),
    stopsAtFailedRollback: v.boolean(),
    concurrency: v.number(),
    soakS: v.number(),
    reachS: v.number(),
    installS: v.number(),
    retriesS: v.array(v.number()),
    windows: v.object({ zone: v.string(), ranges: v.array(RangeSchema) }),
    notBefore: v.optional(v.number()),
    together: v.optional(v.boolean()),
    follow: v.optional(v.string()),
    signed: v.optional(v.record(v.string(), v.union([v.string(), v.number()]))),
  }),
  state: v.picklist(ROLLOUT_STATES),
  before: v.optional(v.picklist(ROLLOUT_STATES)),
  wave: v.number(),
  waves: v.array(v.object({ openedAt: v.number(), lastTakenAt: v.number(), counts: CountsSchema })),
  author: v.string(),
  needsApproval: v.boolean(),
  startedAt: v.number(),
  since: v.number(),
  by: v.string(),
  reason: v.string(),
  rollbackFailures: v.number(),
  acceptedBad: v.number(),
  fetched: v.optional(v.object({ bytes: v.number(), fullBytes: v.number() })),
});

export function encodeRollout(rollout: Rollout): string {
  return JSON.stringify(rollout);
}

export function decodeRollout(text: unknown): Rollout {
  return v.parse(RolloutSchema, JSON.parse(String(text)));
}

export function decodeMemberState(value: unknown): MemberState {
  return v.parse(v.picklist(MEMBER_STATES), value);
}

const GrantsSchema = v.array(v.object({ role: v.picklist(ROLES), product: v.string() }));

function decodeGrants(text: unknown): Grant[] {
  return v.parse(GrantsSchema, JSON.parse(String(text)));
}

/** A list of app names in one column. */
export function decodeNames(text: unknown): string[] {
  return v.parse(v.array(v.string()), JSON.parse(String(text)));
}

/** Assumed for a gateway that has not reported its interval. */
export const DEFAULT_INTERVAL_S = 14_400;

const TagsSchema = v.record(v.string(), v.string());

/**
 * `row` has its `knowledge`, why it is on `hold`, and its `tags` as a JSON object; null for whatever it does not
 * have.
 */
export function toFleetGateway(device: Device, row: Row, nowS: number): FleetGateway {
  const { id, product, serial, state, lastSeenAt } = device;
  const { apps, traces, intervalS, ...known } = decodeKnowledge(row.knowledge);
  const tags = typeof row.tags === 'string' ? v.parse(TagsSchema, JSON.parse(row.tags)) : {};
  return {
    ...known,
    id,
    product,
    serial,
    state,
    lastSeenAt,
    apps,
    tags: new Map(Object.entries(tags)),
    intervalS: intervalS ?? DEFAULT_INTERVAL_S,
    expectedBy: expectedBy(lastSeenAt, intervalS),
    isShared: isShared(traces, nowS),
    ...(typeof row.hold === 'string' ? { hold: row.hold } : {}),
    ...(traces.sign === undefined ? {} : { sharedWhy: traces.sign.why }),
  };
}

/** The event in a row of `fleet_event` that also has the device's `serial`. */
export function toStoredEvent(row: Row): StoredEvent {
  const of = (name: string): string => String(row[name]);
  return {
    id: Number(row.id),
    at: Number(row.at),
    serial: of('serial'),
    kind: of('kind'),
    app: of('app'),
    version: of('version'),
    outcome: of('outcome'),
    code: of('code'),
    command: of('command'),
    text: of('text'),
  };
}

export function toStoredRollout(row: Row): StoredRollout {
  const [product, name] = [String(row.product), String(row.name)];
  return { product, name, revision: Number(row.revision), rollout: decodeRollout(row.body) };
}

/** The audit entry for what the rule has done to a rollout. */
export function ruleFacts(before: Rollout, { state, reason, since, by, id }: Rollout): AuditFacts {
  const facts = { at: since, actor: by, request: '', action: `rollout.${state}`, target: id };
  return { ...facts, before: before.state, after: reason === '' ? state : `${state}: ${reason}` };
}

export function toToken(row: Row): StoredToken {
  const [id, digest, name] = [String(row.id), String(row.digest), String(row.name)];
  return { id, digest, name, grants: decodeGrants(row.grants), expiresAt: Number(row.expires_at) };
}

export function toEntry(row: Row): AuditEntry {
  return {
    number: Number(row.number),
    at: Number(row.at),
    actor: String(row.actor),
    request: String(row.request),
    action: String(row.action),
    target: String(row.target),
    before: String(row.before),
    after: String(row.after),
    digest: String(row.digest),
  };
}
