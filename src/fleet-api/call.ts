/** What a call of `/gwe/v2` is: one row of a table, from which requests are checked, answered and described. */
import * as v from 'valibot';
import type { Clock } from '../base/clock.ts';
import type { AuditFacts } from '../fleet/people/audit.ts';
import type { Grant, Call as Permission } from '../fleet/people/roles.ts';
import type { Sealer } from '../fleet/people/seal.ts';
import type { Session } from '../fleet/people/sessions.ts';
import { Refusal, type Reply } from '../platform/http/exchange.ts';
import type { Quota } from '../platform/http/quota.ts';
import type { Upload } from '../platform/storage/content-storage.ts';
import type { Storage } from '../platform/storage/storage.ts';
import type { SignOn } from './people/sign-on.ts';
import type { Recent } from './recent.ts';

/** What the platform was started with, as far as a person asks for it. */
interface ServerFacts {
  /** How long the history of values is kept; without it, as long as there is room. */
  readonly keepHistoryS: number | undefined;
  readonly database: 'SQLite' | 'PostgreSQL';
  readonly content: 'files' | 'S3' | 'database';
  /** How long requests may go on when it ends. */
  readonly drainS: number;
}

export interface FleetContext {
  readonly storage: Storage;
  readonly clock: Pick<Clock, 'wallMs' | 'sleep'>;
  /** Streams of events, counted by who reads them. */
  readonly streams: Quota;
  readonly recent: Recent;
  /** Seals secrets that have to be read again; without it no second factor and no webhook can be added. */
  readonly sealer: Sealer | undefined;
  /** A provider of identities, where there is one. */
  readonly signOn?: SignOn | undefined;
  readonly server?: ServerFacts | undefined;
}

/** Who asks. */
export interface Actor {
  readonly name: string;
  readonly grants: readonly Grant[];
  /** Identified by the server's own token, by another token, as a person, or not at all. */
  readonly kind: 'server' | 'token' | 'person' | 'nobody';
  /** The id of what identifies the actor: a token, the server's own token, or a login. */
  readonly credential: string;
  /** Unix seconds until which that credential is valid. */
  readonly expiresAt: number;
  /** The session of a browser: `changeToken` has to come with each change. */
  readonly session?: (Session & { readonly changeToken: string }) | undefined;
}

export interface Request {
  readonly actor: Actor;
  /** The values of the `{names}` in the path. */
  readonly names: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Decoded by the call's schema; `undefined` for a call without a body. */
  readonly body: unknown;
  /** The revision that is to be changed, from If-Match. */
  readonly revision: number | undefined;
  /** Unix seconds. */
  readonly at: number;
  /** The address that the request came from. */
  readonly address: string;
  /** The client's connection is encrypted. */
  readonly isEncrypted: boolean;
  /** Aborts when the client has gone or the server closes. */
  readonly signal: AbortSignal;
  header(name: string): string | undefined;
  /** Hands the body to the storage, for a call that takes bytes; `look` sees each piece of it. */
  receive(look: (piece: Uint8Array) => void): Promise<Upload>;
  /** The entry for the audit, without the states before and after. */
  audit(action: string, target: string): AuditFacts;
}

export interface Answer {
  readonly status?: 200 | 201 | undefined;
  readonly body: unknown;
  /** Sent as ETag. */
  readonly revision?: number | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** The answer when the same request is sent once more, where that is not `body`: secrets are not stored. */
  readonly again?: unknown;
  /** The whole answer, where it is not JSON. */
  readonly reply?: Reply;
}

export const BYTES = 'application/octet-stream';

/**
 * Open to anyone; to a person who is logged in, about that person's own account; or to the server's own token alone.
 */
type Special = 'anyone' | 'self' | 'server';

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below `/gwe/v2`: `/products/{product}/devices`. */
  readonly path: string;
  readonly permission: Permission | Special;
  readonly summary: string;
  readonly query?: readonly string[];
  readonly schema?: v.GenericSchema;
  /** The type of a text body; or bytes, which the call itself receives. */
  readonly takes?: 'text/csv' | typeof BYTES;
  /** Types of answers other than JSON. */
  readonly gives?: readonly string[];
  run(context: FleetContext, request: Request): Promise<Answer>;
}

/** The body, decoded by its schema. Refuses with 422, naming the place. */
export function bodyOf<T>(schema: v.GenericSchema<unknown, T>, body: unknown): T {
  const parsed = v.safeParse(schema, body);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const place = v.getDotPath(issue) ?? 'the body';
  throw new Refusal(422, `cannot use ${place}: ${issue.message}`);
}

const MAX_PAGE_LIMIT = 1000;

/** `limit` of a query, 100 without one. Refuses with 400 anything but a number from 1 to 1000. */
export function limitOf(query: URLSearchParams): number {
  const limit = Number(query.get('limit') ?? 100);
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE_LIMIT) return limit;
  throw new Refusal(400, `cannot use limit: expected a whole number from 1 to ${MAX_PAGE_LIMIT}`);
}

/** The name in the path. */
export function nameOf({ names }: Pick<Request, 'names'>, name: string): string {
  return names[name] ?? '';
}

/** One line of text. */
export function lineOf(most: number): v.GenericSchema<string, string> {
  return v.pipe(v.string(), v.maxLength(most), v.regex(/^[^\p{Cc}]*$/u, 'expected no control characters'));
}
