/** The one error type, and the one table that says what each code means for retries and outcomes. */

/** When trying again can help: never, at the next check-in, or soon with growing pauses. */
export type RetryClass = 'never' | 'next-check-in' | 'backoff';

/** What is true on the gateway after an update attempt ended. */
export type Outcome =
  | 'installed'
  | 'unchanged'
  | 'rejected'
  | 'failed-no-change'
  | 'rolled-back'
  | 'rollback-failed';

/**
 * Every error code, with its retry class. The code's first word is the area it comes from.
 * `rejected` marks faults of the artifact or the command itself: another try of the same bytes cannot help.
 */
export const ERROR_CODES = {
  USAGE_BAD_OPTION: { retry: 'never', rejected: false },
  USAGE_BAD_VALUE: { retry: 'never', rejected: false },
  USAGE_MISSING: { retry: 'never', rejected: false },
  CONFIG_INVALID: { retry: 'never', rejected: false },
  CONFIG_NO_IDENTITY: { retry: 'never', rejected: false },
  CONFIG_UNWRITABLE: { retry: 'next-check-in', rejected: false },
  PROTOCOL_OFFLINE: { retry: 'backoff', rejected: false },
  PROTOCOL_UNAUTHORIZED: { retry: 'next-check-in', rejected: false },
  PROTOCOL_REFUSED: { retry: 'next-check-in', rejected: false },
  PROTOCOL_BUSY: { retry: 'backoff', rejected: false },
  PROTOCOL_GARBAGE: { retry: 'backoff', rejected: false },
  PROTOCOL_TOO_LARGE: { retry: 'next-check-in', rejected: false },
  COMMAND_INVALID: { retry: 'never', rejected: true },
  DOWNLOAD_NOT_FOUND: { retry: 'never', rejected: false },
  DOWNLOAD_REFUSED: { retry: 'never', rejected: false },
  DOWNLOAD_INCOMPLETE: { retry: 'backoff', rejected: false },
  DOWNLOAD_CHANGED: { retry: 'backoff', rejected: false },
  DOWNLOAD_TOO_LARGE: { retry: 'never', rejected: true },
  DOWNLOAD_DIGEST: { retry: 'never', rejected: true },
  ARTIFACT_NAME: { retry: 'never', rejected: true },
  ARTIFACT_FORMAT: { retry: 'never', rejected: true },
  ARTIFACT_ENTRY: { retry: 'never', rejected: true },
  ARTIFACT_LIMIT: { retry: 'never', rejected: true },
  ARTIFACT_LAYOUT: { retry: 'never', rejected: true },
  /** The tar stream is not the one that its manifest describes. */
  ARTIFACT_MANIFEST: { retry: 'never', rejected: true },
  /** Unsigned, or not signed by those whom this gateway trusts. */
  ARTIFACT_UNTRUSTED: { retry: 'never', rejected: true },
  /** Signed once, and overtaken since: a lower release, or expired. */
  ARTIFACT_STALE: { retry: 'never', rejected: true },
  /** For another app, CPU or gwe. */
  ARTIFACT_UNSUITABLE: { retry: 'never', rejected: true },
  ARTIFACT_BUILD: { retry: 'never', rejected: false },
  /** A patch that is none, or not the one asked for: chunks do without it. */
  ARTIFACT_PATCH: { retry: 'never', rejected: false },
  ARTIFACT_REFUSED: { retry: 'never', rejected: true },
  /** The month's data budget does not allow it now. */
  BUDGET_SPENT: { retry: 'next-check-in', rejected: false },
  STORE_NO_SPACE: { retry: 'next-check-in', rejected: false },
  STORE_IO: { retry: 'next-check-in', rejected: false },
  STORE_LOCKED: { retry: 'next-check-in', rejected: false },
  INSTALL_FAILED: { retry: 'never', rejected: false },
  INSTALL_TIMEOUT: { retry: 'never', rejected: false },
  INSTALL_INTERRUPTED: { retry: 'never', rejected: false },
  SUPERVISOR_UNREACHABLE: { retry: 'next-check-in', rejected: false },
  SUPERVISOR_REFUSED: { retry: 'never', rejected: false },
  SUPERVISOR_PROGRAM_INVALID: { retry: 'never', rejected: true },
  SUPERVISOR_FOREIGN_PROGRAM: { retry: 'never', rejected: true },
  SUPERVISOR_UNHEALTHY: { retry: 'never', rejected: false },
  JOURNAL_UNREADABLE: { retry: 'never', rejected: false },
  JOURNAL_LOOP: { retry: 'never', rejected: false },
  PLATFORM_STATE: { retry: 'never', rejected: false },
  CANCELLED: { retry: 'never', rejected: false },
} as const satisfies Record<string, { retry: RetryClass; rejected: boolean }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Small printable details of an error. Never secrets. */
export type Facts = Readonly<Record<string, string | number | boolean>>;

/**
 * The error that everything in gwe throws on purpose.
 * `message` reads `cannot <verb> <noun> 'name': <what was found>, expected <what>`: lower case, one line, no full stop.
 */
export class GweError extends Error {
  override readonly name = 'GweError';
  readonly code: ErrorCode;
  readonly facts: Facts;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; facts?: Facts } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
  }

  get retry(): RetryClass {
    return ERROR_CODES[this.code].retry;
  }

  /** Whether the artifact or the command itself is at fault. */
  get isRejection(): boolean {
    return ERROR_CODES[this.code].rejected;
  }
}

/** The one-line text of anything thrown, its causes behind it. */
export function describeError(error: unknown): string {
  return causesOf(error).join(': ');
}

/** What anything thrown says, and what its causes say that it does not; each one line, at most five. */
export function causesOf(error: unknown): string[] {
  const parts: string[] = [];
  for (
    let at: unknown = error;
    at !== undefined && parts.length < 5;
    at = at instanceof Error ? at.cause : undefined
  ) {
    const text = (at instanceof Error ? at.message || at.name : String(at)).replace(/\s+/g, ' ').trim();
    if (text !== '' && !parts.some((part) => part.includes(text))) parts.push(text);
  }
  return parts;
}

/** The `code` of a Node system error (`ENOENT`, `ENOSPC`, ...), or `undefined`. */
export function systemCode(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string' && /^E[A-Z0-9]+$/.test(at.code)) return at.code;
  }
  return undefined;
}

/** `error` as a GweError: itself if it is one, else wrapped under `code` with `message` as context. */
export function wrapError(error: unknown, code: ErrorCode, message: string): GweError {
  if (systemCode(error) === 'ENOSPC' || systemCode(error) === 'EDQUOT') {
    return new GweError('STORE_NO_SPACE', `${message}: no space left on the file system`, { cause: error });
  }
  return new GweError(code, `${message}: ${describeError(error)}`, { cause: error });
}

/** Ends the process on a broken invariant; the journal recovers at the next start. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value ${JSON.stringify(value)}`);
}
