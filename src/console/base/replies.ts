/** The answers of the platform below `/gwe/v2`, as far as the console shows them. */
import { type Decoded, flag, list, mapOf, maybe, number, object, text } from './decode.ts';

export const SESSION = object({
  name: text,
  grants: list(object({ role: text, product: text })),
  products: list(text),
  changeToken: maybe(text),
  expiresAt: maybe(number),
  /** The password was set by somebody else: nothing is allowed until the person has changed it. */
  mustChangePassword: maybe(flag),
});
export type Session = Decoded<typeof SESSION>;

export const STATUS = object({
  gateways: number,
  expected: number,
  late: number,
  silent: number,
  neverSeen: number,
  shared: number,
  failing: number,
  apps: mapOf(mapOf(number)),
  problems: list(object({ serial: text, problems: list(text) })),
});
export type Status = Decoded<typeof STATUS>;

const WAVE = object({ openedAt: number, counts: mapOf(number) });

export const ROLLOUT = object({
  id: text,
  name: text,
  product: text,
  revision: number,
  state: text,
  author: text,
  startedAt: number,
  since: number,
  by: text,
  reason: text,
  wave: number,
  waves: list(WAVE),
  artifacts: list(object({ app: text, version: text })),
  policy: object({
    limit: number,
    need: number,
    soakS: number,
    concurrency: number,
    /** By a person's key: the console has none. */
    signed: maybe(object({ until: number })),
  }),
  tally: object({ succeeded: number, failed: number, silent: number, reachable: number }),
  waitsFor: text,
  until: maybe(number),
  failures: maybe(list(object({ code: text, gateways: number, serials: list(text), reason: text }))),
});
export type Rollout = Decoded<typeof ROLLOUT>;

export const ROLLOUTS = object({ rollouts: list(ROLLOUT) });

export const GATEWAY = object({
  serial: text,
  state: text,
  lastSeenAt: number,
  expectedBy: number,
  intervalS: number,
  isSilent: flag,
  isShared: flag,
  sharedWhy: maybe(text),
  hold: maybe(text),
  waiting: maybe(text),
  gweVersion: maybe(text),
  target: maybe(text),
  freeBytes: maybe(number),
  budgetLeftBytes: maybe(number),
  tags: mapOf(text),
  apps: mapOf(
    object({
      version: text,
      status: text,
      previous: maybe(text),
      restarts: maybe(number),
      lastOutcome: maybe(text),
      seenAt: number,
    }),
  ),
});
export type Gateway = Decoded<typeof GATEWAY>;

export const GATEWAYS = object({ devices: list(GATEWAY), next: maybe(text) });

const POINTS = list(object({ at: number, value: number }));
export const FIGURES = object({ disk: POINTS, memory: POINTS, clock: POINTS, budget: POINTS });

export const DAYS = object({
  days: list(
    object({
      day: number,
      gateways: number,
      monthBytes: number,
      savedBytes: maybe(number),
      apps: mapOf(mapOf(number)),
    }),
  ),
});
export type Days = Decoded<typeof DAYS>['days'];

export const GROUPS = object({ groups: list(object({ name: text, filter: text })) });

const EVENT = object({
  id: number,
  serial: text,
  at: number,
  kind: text,
  app: text,
  version: text,
  outcome: text,
  code: text,
  text,
});
export type FleetEvent = Decoded<typeof EVENT>;

export const EVENTS = object({ events: list(EVENT) });

const MEMBER = object({
  serial: text,
  wave: number,
  state: text,
  since: number,
  attempt: number,
  code: maybe(text),
  reason: maybe(text),
});
export type Member = Decoded<typeof MEMBER>;

export const MEMBERS = object({ members: list(MEMBER), next: maybe(text) });

export const PLAN = object({
  artifacts: list(text),
  gateways: number,
  waves: list(number),
  excluded: mapOf(object({ gateways: number, first: list(text) })),
  ways: mapOf(object({ gateways: number, bytes: number })),
  lowestBudgetBytes: maybe(number),
});
export type Plan = Decoded<typeof PLAN>;

export const SIGN_IN = object({ singleSignOn: flag });

const ITEM = {
  id: text,
  app: maybe(text),
  version: maybe(text),
  sizeBytes: number,
  updatedAt: number,
  meta: text,
  isUploaded: flag,
};
export const CONTENT = object({ content: list(object(ITEM)), next: maybe(text) });
export type ContentItem = Decoded<typeof CONTENT>['content'][number];

export const RELEASES = object({
  list: maybe(object({ release: number, expires: number, apps: mapOf(list(object({ version: text }))) })),
  problem: maybe(text),
  unlisted: list(object({ app: text, version: text, gateways: number })),
});

export const CONTENT_ITEM = object({
  ...ITEM,
  index: maybe(
    object({ digest: text, signatures: list(text), architectures: list(text), release: maybe(number) }),
  ),
});

export const TRAFFIC = object({
  month: text,
  gateways: number,
  reporting: number,
  monthBytes: number,
  purposes: mapOf(number),
  most: list(object({ serial: text, bytes: number })),
});
export type Traffic = Decoded<typeof TRAFFIC>;

export const UPDATES = object({
  days: list(object({ day: number, good: number, bad: number })),
  codes: mapOf(number),
  isAll: flag,
});
export type Updates = Decoded<typeof UPDATES>;

export const ACTED = object({
  done: number,
  leftOut: list(object({ serial: text, reason: text })),
});

export const LOGS = object({
  isAsked: flag,
  logs: list(
    object({
      tx: text,
      app: text,
      version: text,
      at: number,
      pieces: number,
      missing: list(number),
      text,
    }),
  ),
});

const GRANTS = list(object({ role: text, product: text }));
const OPERATOR = { name: text, grants: GRANTS, hasPassword: flag, hasSecondFactor: flag };

export const ME = object({
  name: text,
  kind: text,
  hasSecondFactor: maybe(flag),
});

export const OPERATORS = object({ operators: list(object(OPERATOR)), next: maybe(text) });
export const NEW_OPERATOR = object({ name: text, password: maybe(text) });

export const TOKENS = object({
  tokens: list(object({ id: text, name: text, grants: GRANTS, expiresAt: number, lastUsedAt: number })),
});
export const NEW_TOKEN = object({ name: text, text });

export const TARGETS = object({
  targets: list(
    object({
      id: text,
      product: text,
      url: text,
      kinds: list(text),
      sent: number,
      waiting: number,
      givenUp: number,
      lastError: text,
    }),
  ),
});
export const NEW_TARGET = object({ url: text, secret: maybe(text) });

export const AUDIT = object({
  entries: list(
    object({ number, at: number, actor: text, action: text, target: text, before: text, after: text }),
  ),
});

export const SERVER = object({
  database: maybe(text),
  content: maybe(text),
  keepHistoryS: maybe(number),
  drainS: maybe(number),
  hasSecondFactors: flag,
  hasSingleSignOn: flag,
});

export const SECOND_FACTOR = object({ secret: text });
