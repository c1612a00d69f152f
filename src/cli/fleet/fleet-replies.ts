/** The platform's answers below `/gwe/v2`, as far as the command line shows them; more fields may be added. */
import * as v from 'valibot';

export const STATUS = v.looseObject({
  gateways: v.number(),
  silent: v.number(),
  neverSeen: v.number(),
  shared: v.number(),
  failing: v.number(),
  apps: v.record(v.string(), v.record(v.string(), v.number())),
  problems: v.array(v.object({ serial: v.string(), problems: v.array(v.string()) })),
  rollouts: v.array(v.object({ id: v.string(), name: v.string(), state: v.string(), reason: v.string() })),
});

export const DEVICE = v.looseObject({
  serial: v.string(),
  state: v.string(),
  lastSeenAt: v.number(),
  isSilent: v.boolean(),
  isShared: v.boolean(),
  gweVersion: v.optional(v.string()),
  target: v.optional(v.string()),
  tags: v.record(v.string(), v.string()),
  apps: v.record(
    v.string(),
    v.looseObject({ version: v.string(), status: v.string(), previous: v.optional(v.string()) }),
  ),
});
export type DeviceReply = v.InferOutput<typeof DEVICE>;

export const DEVICES = v.object({ devices: v.array(DEVICE), next: v.nullable(v.string()) });

export const GROUP = v.object({ name: v.string(), filter: v.string() });
export const GROUPS = v.object({ groups: v.array(GROUP) });

export const EVENT = v.looseObject({
  id: v.number(),
  serial: v.string(),
  at: v.number(),
  kind: v.string(),
  app: v.string(),
  version: v.string(),
  text: v.string(),
});
export type EventReply = v.InferOutput<typeof EVENT>;
export const EVENTS = v.object({ events: v.array(EVENT) });

export const PLAN = v.looseObject({
  gateways: v.number(),
  waves: v.array(v.number()),
  durationS: v.optional(v.number()),
  excluded: v.record(v.string(), v.object({ gateways: v.number(), first: v.array(v.string()) })),
  ways: v.record(v.string(), v.object({ gateways: v.number(), bytes: v.number() })),
  heldBack: v.optional(v.object({ gateways: v.number(), first: v.array(v.string()) })),
  releases: v.nullish(
    v.looseObject({
      release: v.nullable(v.number()),
      daysLeft: v.nullable(v.number()),
      problem: v.nullable(v.string()),
      named: v.array(v.string()),
      gateways: v.number(),
      ahead: v.number(),
    }),
  ),
});
export type PlanReply = v.InferOutput<typeof PLAN>;

const LISTED = v.looseObject({ version: v.string(), digest: v.string(), target: v.optional(v.string()) });
export const RELEASES = v.looseObject({
  list: v.nullable(
    v.looseObject({
      product: v.string(),
      release: v.number(),
      expires: v.number(),
      apps: v.record(v.string(), v.array(LISTED)),
    }),
  ),
  signatures: v.array(v.string()),
  problem: v.nullable(v.string()),
  daysLeft: v.nullable(v.number()),
  unlisted: v.array(
    v.object({ app: v.string(), version: v.string(), gateways: v.number(), isUploaded: v.boolean() }),
  ),
  installed: v.record(v.string(), v.record(v.string(), v.number())),
  gateways: v.looseObject({ all: v.number(), goBy: v.number(), stale: v.number(), missing: v.number() }),
});

const PATCH = v.looseObject({
  app: v.string(),
  version: v.string(),
  from: v.string(),
  gateways: v.number(),
  state: v.string(),
  reason: v.string(),
  name: v.string(),
  savesBytes: v.number(),
});
export const PATCHES = v.object({ workers: v.number(), patches: v.array(PATCH) });
export type PatchReply = v.InferOutput<typeof PATCH>;

export const ROLLOUT = v.looseObject({
  policy: v.optional(v.looseObject({ follow: v.optional(v.string()) })),
  id: v.string(),
  name: v.string(),
  state: v.string(),
  wave: v.number(),
  waves: v.array(v.looseObject({ counts: v.record(v.string(), v.number()) })),
  waitsFor: v.string(),
  until: v.nullable(v.number()),
  failures: v.optional(
    v.array(
      v.object({ code: v.string(), gateways: v.number(), serials: v.array(v.string()), reason: v.string() }),
    ),
    [],
  ),
  fetched: v.nullish(v.object({ bytes: v.number(), fullBytes: v.number() })),
  patches: v.optional(v.array(PATCH), []),
  heldBack: v.optional(
    v.array(
      v.object({
        gateways: v.number(),
        serials: v.array(v.string()),
        reason: v.string(),
        until: v.nullable(v.number()),
      }),
    ),
    [],
  ),
});
export type RolloutReply = v.InferOutput<typeof ROLLOUT>;

export const ROLLOUTS = v.object({ rollouts: v.array(ROLLOUT) });
export const UNDO_PLAN = v.looseObject({
  isSigned: v.boolean(),
  steps: v.array(v.looseObject({ artifacts: v.array(v.string()), gateways: v.number() })),
});
export const UNDONE = v.object({
  rollouts: v.array(ROLLOUT),
  unknown: v.array(v.string()),
  unsigned: v.optional(v.array(v.string()), []),
});
