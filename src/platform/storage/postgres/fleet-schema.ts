/** The tables of the fleet in PostgreSQL. What belongs to a device is removed with it. */
export const FLEET_SCHEMA = `
CREATE TABLE fleet_gateway (
  device bigint PRIMARY KEY REFERENCES device(id) ON DELETE CASCADE,
  knowledge text NOT NULL
);
CREATE TABLE fleet_tag (
  device bigint NOT NULL REFERENCES device(id) ON DELETE CASCADE,
  key text COLLATE "C" NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (device, key)
);
CREATE TABLE fleet_hold (
  device bigint PRIMARY KEY REFERENCES device(id) ON DELETE CASCADE,
  reason text NOT NULL
);
CREATE TABLE fleet_record (
  kind text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  body text NOT NULL,
  ends_at bigint NOT NULL,
  PRIMARY KEY (kind, key)
) WITH (fillfactor = 80);
CREATE INDEX fleet_record_end ON fleet_record (ends_at) WHERE ends_at > 0;
CREATE TABLE fleet_event (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device bigint NOT NULL REFERENCES device(id) ON DELETE CASCADE,
  key text NOT NULL,
  at bigint NOT NULL,
  kind text NOT NULL,
  app text NOT NULL,
  version text NOT NULL,
  outcome text NOT NULL,
  code text NOT NULL,
  command text NOT NULL,
  text text NOT NULL,
  UNIQUE (device, key)
);
CREATE TABLE fleet_group (
  product text COLLATE "C" NOT NULL REFERENCES product(name),
  name text COLLATE "C" NOT NULL,
  filter text NOT NULL,
  PRIMARY KEY (product, name)
);
CREATE TABLE fleet_rollout (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  product text COLLATE "C" NOT NULL REFERENCES product(name),
  name text NOT NULL,
  state text NOT NULL,
  revision bigint NOT NULL,
  body text NOT NULL
);
CREATE INDEX fleet_rollout_state ON fleet_rollout (state);
CREATE TABLE fleet_member (
  rollout text COLLATE "C" NOT NULL REFERENCES fleet_rollout(id) ON DELETE CASCADE,
  device bigint NOT NULL REFERENCES device(id) ON DELETE CASCADE,
  wave integer NOT NULL,
  state text NOT NULL,
  since bigint NOT NULL,
  heard_at bigint NOT NULL,
  interval_s bigint NOT NULL,
  attempt integer NOT NULL,
  not_before bigint NOT NULL,
  good text NOT NULL,
  shown text NOT NULL,
  code text,
  reason text,
  PRIMARY KEY (rollout, device)
) WITH (fillfactor = 80);
CREATE INDEX fleet_member_device ON fleet_member (device, state);
CREATE INDEX fleet_member_state ON fleet_member (rollout, state, device);
CREATE TABLE fleet_token (
  id text COLLATE "C" PRIMARY KEY,
  digest text NOT NULL,
  name text COLLATE "C" NOT NULL,
  grants text NOT NULL,
  expires_at bigint NOT NULL
);
CREATE TABLE fleet_audit (
  number bigint PRIMARY KEY,
  at bigint NOT NULL,
  actor text NOT NULL,
  request text NOT NULL,
  action text NOT NULL,
  target text NOT NULL,
  before text NOT NULL,
  after text NOT NULL,
  digest text NOT NULL
);
`;
