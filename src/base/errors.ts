/** The one error type, and the one table that says what each code means for retries and outcomes. */

/** What is true on the gateway after an update attempt ended. */
export type Outcome =
  | 'installed'
  | 'unchanged'
  | 'rejected'
  | 'failed-no-change'
  | 'rolled-back'
  | 'rollback-failed';

/**
 * Every error code. The code's first word is the area it comes from. `transient` marks faults of the network or the
 * platform that pass without intervention: the same request may work soon.
 * `rejected` marks faults of the artifact or the command itself: another try of the same bytes cannot help.
 */
export const ERROR_CODES = {
  USAGE_BAD_OPTION: { transient: false, rejected: false },
  USAGE_BAD_VALUE: { transient: false, rejected: false },
  USAGE_MISSING: { transient: false, rejected: false },
  CONFIG_INVALID: { transient: false, rejected: false },
  CONFIG_NO_IDENTITY: { transient: false, rejected: false },
  CONFIG_UNWRITABLE: { transient: false, rejected: false },
  PROTOCOL_OFFLINE: { transient: true, rejected: false },
  PROTOCOL_UNAUTHORIZED: { transient: false, rejected: false },
  PROTOCOL_REFUSED: { transient: false, rejected: false },
  PROTOCOL_BUSY: { transient: true, rejected: false },
  PROTOCOL_GARBAGE: { transient: true, rejected: false },
  PROTOCOL_TOO_LARGE: { transient: false, rejected: false },
  COMMAND_INVALID: { transient: false, rejected: true },
  /** Another app of a command whose apps are installed together was at fault. */
  COMMAND_TOGETHER: { transient: false, rejected: false },
  /** Unsigned, or not signed by those whose commands this gateway takes. */
  COMMAND_UNTRUSTED: { transient: false, rejected: true },
  /** Signed once, and past its time, or carried out before. */
  COMMAND_STALE: { transient: false, rejected: true },
  DOWNLOAD_NOT_FOUND: { transient: false, rejected: false },
  DOWNLOAD_REFUSED: { transient: false, rejected: false },
  DOWNLOAD_INCOMPLETE: { transient: true, rejected: false },
  DOWNLOAD_CHANGED: { transient: true, rejected: false },
  DOWNLOAD_TOO_LARGE: { transient: false, rejected: true },
  DOWNLOAD_DIGEST: { transient: false, rejected: true },
  ARTIFACT_NAME: { transient: false, rejected: true },
  ARTIFACT_FORMAT: { transient: false, rejected: true },
  ARTIFACT_ENTRY: { transient: false, rejected: true },
  ARTIFACT_LIMIT: { transient: false, rejected: true },
  ARTIFACT_LAYOUT: { transient: false, rejected: true },
  /** The tar stream is not the one that its manifest describes. */
  ARTIFACT_MANIFEST: { transient: false, rejected: true },
  /** Unsigned, or not signed by those whom this gateway trusts. */
  ARTIFACT_UNTRUSTED: { transient: false, rejected: true },
  /** Signed once, and overtaken since: a lower release, or expired. */
  ARTIFACT_STALE: { transient: false, rejected: true },
  /** Not in the release list that this gateway goes by. */
  ARTIFACT_UNLISTED: { transient: false, rejected: true },
  /** For another app, CPU or gwe. */
  ARTIFACT_UNSUITABLE: { transient: false, rejected: true },
  ARTIFACT_BUILD: { transient: false, rejected: false },
  /** Not a patch, or not the requested one: gwe fetches chunks instead. */
  ARTIFACT_PATCH: { transient: false, rejected: false },
  ARTIFACT_REFUSED: { transient: false, rejected: true },
  /** The month's data budget does not allow it now. */
  BUDGET_SPENT: { transient: false, rejected: false },
  STORE_NO_SPACE: { transient: false, rejected: false },
  STORE_READ_ONLY: { transient: false, rejected: false },
  STORE_IO: { transient: false, rejected: false },
  /** Something is mounted in what was to be removed. */
  STORE_MOUNTED: { transient: false, rejected: false },
  STORE_LOCKED: { transient: false, rejected: false },
  INSTALL_FAILED: { transient: false, rejected: false },
  INSTALL_TIMEOUT: { transient: false, rejected: false },
  SUPERVISOR_UNREACHABLE: { transient: false, rejected: false },
  SUPERVISOR_REFUSED: { transient: false, rejected: false },
  SUPERVISOR_PROGRAM_INVALID: { transient: false, rejected: true },
  SUPERVISOR_FOREIGN_PROGRAM: { transient: false, rejected: true },
  SUPERVISOR_UNHEALTHY: { transient: false, rejected: false },
  JOURNAL_UNREADABLE: { transient: false, rejected: false },
  JOURNAL_LOOP: { transient: false, rejected: false },
  PLATFORM_STATE: { transient: false, rejected: false },
  /** What it keeps everything in does not answer, and will again. */
  PLATFORM_UNAVAILABLE: { transient: true, rejected: false },
  /** The tables of a platform are of another version; `facts` has `found` and `expected`. */
  PLATFORM_SCHEMA: { transient: false, rejected: false },
  /** A platform takes no writes for a while. */
  PLATFORM_READ_ONLY: { transient: true, rejected: false },
  CANCELLED: { transient: false, rejected: false },
} as const satisfies Record<string, { transient: boolean; rejected: boolean }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Small printable details of an error. Never secrets. */
type Facts = Readonly<Record<string, string | number | boolean>>;

/**
 * The error that everything in gwe throws on purpose.
 * `message` reads `cannot <verb> <noun> 'name': <what was found>, expected <what>`: lower case, one line, no full stop.
 */
export class GweError extends Error {
  override readonly name = 'GweError';
  readonly code: ErrorCode;
  readonly facts: Facts;
  /** `its last line: ...`: what a program printed may be a secret, and is for files and people that may read such. */
  readonly said: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; facts?: Facts; said?: string | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
    this.said = options.said;
  }

  get isTransient(): boolean {
    return ERROR_CODES[this.code].transient;
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
  if (systemCode(error) === 'EROFS') {
    return new GweError('STORE_READ_ONLY', `${message}: the file system is read-only`, { cause: error });
  }
  return new GweError(code, `${message}: ${describeError(error)}`, { cause: error });
}

const DISK_FAULTS: ReadonlySet<ErrorCode> = new Set([
  'STORE_NO_SPACE',
  'STORE_READ_ONLY',
  'STORE_IO',
  'CONFIG_UNWRITABLE',
]);

/** Whether the disk takes nothing now: it is full, read-only or failing. What was to be written may pass later. */
export function isDiskFault(error: unknown): error is GweError {
  return error instanceof GweError && DISK_FAULTS.has(error.code);
}

const DISK_ERRORS = ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS'];

/** Whether the system said so of the disk, whatever the error was wrapped in: nobody else is at fault. */
export function isDiskError(error: unknown): boolean {
  return DISK_ERRORS.includes(systemCode(error) ?? '');
}
