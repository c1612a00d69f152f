/** By state: where the deadlines of a large rollout are looked for. */
export const MEMBER_INDEX =
  'CREATE INDEX IF NOT EXISTS fleet_member_state ON fleet_member (rollout, state, device);';

/** The tables of the fleet. What belongs to a device is removed with it. */
export const FLEET_SCHEMA = `
CREATE TABLE fleet_gateway (
  device INTEGER PRIMARY KEY REFERENCES device(id) ON DELETE CASCADE,
  knowledge TEXT NOT NULL
) STRICT;
CREATE TABLE fleet_tag (
  device INTEGER NOT NULL REFERENCES device(id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (device, key)
) STRICT;
CREATE TABLE fleet_event (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  device INTEGER NOT NULL REFERENCES device(id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  app TEXT NOT NULL,
  version TEXT NOT NULL,
  outcome TEXT NOT NULL,
  code TEXT NOT NULL,
  command TEXT NOT NULL,
  text TEXT NOT NULL,
  UNIQUE (device, key)
) STRICT;
CREATE TABLE fleet_group (
  product TEXT NOT NULL REFERENCES product(name),
  name TEXT NOT NULL,
  filter TEXT NOT NULL,
  PRIMARY KEY (product, name)
) STRICT;
CREATE TABLE fleet_rollout (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  product TEXT NOT NULL REFERENCES product(name),
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  revision INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX fleet_rollout_state ON fleet_rollout (state);
CREATE TABLE fleet_member (
  rollout TEXT NOT NULL REFERENCES fleet_rollout(id) ON DELETE CASCADE,
  device INTEGER NOT NULL REFERENCES device(id) ON DELETE CASCADE,
  wave INTEGER NOT NULL,
  state TEXT NOT NULL,
  since INTEGER NOT NULL,
  heard_at INTEGER NOT NULL,
  interval_s INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  good TEXT NOT NULL,
  shown TEXT NOT NULL,
  code TEXT,
  reason TEXT,
  PRIMARY KEY (rollout, device)
) STRICT;
CREATE INDEX fleet_member_device ON fleet_member (device, state);
${MEMBER_INDEX}`;

/** Gateways on hold, and small records. */
export const RECORD_SCHEMA = `
CREATE TABLE fleet_hold (
  device INTEGER PRIMARY KEY REFERENCES device(id) ON DELETE CASCADE,
  reason TEXT NOT NULL
) STRICT;
CREATE TABLE fleet_record (
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  body TEXT NOT NULL,
  ends_at INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT;
CREATE INDEX fleet_record_end ON fleet_record (ends_at) WHERE ends_at > 0;
`;

/** Tokens and the audit. */
export const PEOPLE_SCHEMA = `
CREATE TABLE fleet_token (
  id TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  name TEXT NOT NULL,
  grants TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE TABLE fleet_audit (
  number INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  request TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  before TEXT NOT NULL,
  after TEXT NOT NULL,
  digest TEXT NOT NULL
) STRICT;
`;
