/** What a filter may ask about a gateway, as one table: name -> its kind, and where its value is found. */
import type { GatewayRecord } from '../gateway/record.ts';

/** A `flag` has no value; an `age` is the seconds from then to now, Infinity for never. */
type FieldKind = 'text' | 'version' | 'bytes' | 'age' | 'count' | 'flag';
type FieldValue = string | number | boolean | undefined;

interface Field {
  readonly kind: FieldKind;
  readonly help: string;
  /** `name` is what follows the dot. `undefined` where nothing is known. */
  read(gateway: GatewayRecord, nowS: number, name: string): FieldValue;
}

const PLAIN_FIELDS: Readonly<Record<string, Field>> = {
  serial: { kind: 'text', help: 'serial number', read: (gateway) => gateway.serial },
  product: { kind: 'text', help: 'product', read: (gateway) => gateway.product },
  state: { kind: 'text', help: 'activated, notactivated, expired, unused', read: ({ state }) => state },
  target: { kind: 'text', help: 'linux-x64, linux-arm64, linux-armv7l', read: ({ target }) => target },
  gwe: { kind: 'version', help: 'version of gwe', read: (gateway) => gateway.gweVersion },
  seen: {
    kind: 'age',
    help: 'time since its last request',
    read: ({ lastSeenAt }, nowS) => (lastSeenAt === 0 ? Number.POSITIVE_INFINITY : nowS - lastSeenAt),
  },
  free: { kind: 'bytes', help: 'bytes free on its disk', read: (gateway) => gateway.freeBytes },
  budget: { kind: 'bytes', help: 'bytes left of its budget', read: (gateway) => gateway.budgetLeftBytes },
  silent: { kind: 'flag', help: 'not heard of when expected', read: isSilent },
  held: { kind: 'flag', help: 'nobody may touch it', read: ({ hold }) => hold !== undefined },
  shared: { kind: 'flag', help: 'two machines use its key', read: ({ isShared }) => isShared },
};

/** `app.NAME` and what may follow it. */
const APP_FIELDS: Readonly<Record<string, Field>> = {
  '': {
    kind: 'version',
    help: 'version of the app',
    read: (gateway, _, name) => gateway.apps.get(name)?.version,
  },
  status: {
    kind: 'text',
    help: 'RUNNING, FATAL, ...',
    read: (gateway, _, name) => gateway.apps.get(name)?.status,
  },
  digest: { kind: 'text', help: 'sha256', read: (gateway, _, name) => gateway.apps.get(name)?.digest },
  outcome: {
    kind: 'text',
    help: 'outcome of its last update',
    read: (gateway, _, name) => gateway.apps.get(name)?.lastOutcome,
  },
  restarts: { kind: 'count', help: 'restarts', read: (gateway, _, name) => gateway.apps.get(name)?.restarts },
};

const TAG_FIELD: Field = { kind: 'text', help: 'a tag', read: (gateway, _, name) => gateway.tags.get(name) };

/** Whether a gateway that was heard of before has not been heard of by the time it was expected. */
function isSilent(gateway: Pick<GatewayRecord, 'expectedBy'>, nowS: number): boolean {
  return gateway.expectedBy > 0 && nowS > gateway.expectedBy;
}

export interface FieldUse {
  readonly kind: FieldKind;
  read(gateway: GatewayRecord, nowS: number): FieldValue;
}

/** The field of this name, or `undefined`. */
export function findField(name: string): FieldUse | undefined {
  const plain = Object.hasOwn(PLAIN_FIELDS, name) ? PLAIN_FIELDS[name] : undefined;
  if (plain !== undefined) return use(plain, '');
  const [, group, part = '', rest = ''] = /^(tag|app)\.([^.]+)(?:\.(.*))?$/su.exec(name) ?? [];
  if (group === 'tag') return use(TAG_FIELD, name.slice('tag.'.length));
  if (group !== 'app' || !Object.hasOwn(APP_FIELDS, rest)) return undefined;
  const field = name.endsWith('.') ? undefined : APP_FIELDS[rest];
  return field === undefined ? undefined : use(field, part);
}

function use({ kind, read }: Field, name: string): FieldUse {
  return { kind, read: (gateway, nowS) => read(gateway, nowS, name) };
}

/** Every name there is, for an error message. */
export function listFields(): string {
  const app = Object.keys(APP_FIELDS).map((part) => (part === '' ? 'app.NAME' : `app.NAME.${part}`));
  return [...Object.keys(PLAIN_FIELDS), 'tag.NAME', ...app].join(', ');
}
