/** A gateway as the fleet knows it: what filters look at and lists show. */

export interface AppRecord {
  readonly version: string;
  /** sha256 of the uncompressed tarball; not every report has room for it. */
  readonly digest?: string | undefined;
  /** The version before, kept on the gateway to go back to. */
  readonly previous?: string | undefined;
  /** supervisord's state, EXITED for an app without a program. */
  readonly status: string;
  readonly restarts?: number | undefined;
  readonly lastOutcome?: string | undefined;
  /** Unix seconds of the report. */
  readonly seenAt: number;
}

/** Bytes in both directions, by the gateway's own ledger. */
export interface Traffic {
  /** `2026-11`. */
  readonly month: string;
  readonly monthBytes: number;
  /** Since the ledger began, by purpose. */
  readonly purposes: readonly (readonly [purpose: string, bytes: number])[];
}

/** Bytes that patches and chunks have kept from being fetched, by the gateway's own reports. */
export interface Saved {
  /** `2026-11`, by the platform's clock. */
  readonly month: string;
  readonly monthBytes: number;
  /** The updates that were counted last: a report may come again. */
  readonly counted: readonly string[];
}

/** The release list that a gateway goes by, in its own words. */
export interface SeenReleases {
  readonly state: 'fresh' | 'stale' | 'missing';
  readonly release?: number | undefined;
  /** Unix seconds. */
  readonly expires?: number | undefined;
  /** It installs what is new past that. */
  readonly isLenient?: boolean | undefined;
}

export interface GatewayRecord {
  readonly product: string;
  readonly serial: string;
  /** The state of its key: `activated`, `notactivated`, `expired`, `unused`. */
  readonly state: string;
  readonly tags: ReadonlyMap<string, string>;
  readonly apps: ReadonlyMap<string, AppRecord>;
  readonly gweVersion?: string | undefined;
  /** `linux-x64`, `linux-arm64`, `linux-armv7l`. */
  readonly target?: string | undefined;
  /** Unix seconds of its last request; 0 for never. */
  readonly lastSeenAt: number;
  /** Unix seconds by which it should have been heard of again; 0 while nothing is known about it. */
  readonly expectedBy: number;
  /** Bytes free where apps are unpacked, as the gateway reports. */
  readonly freeBytes?: number | undefined;
  /** Bytes left of its data budget. */
  readonly budgetLeftBytes?: number | undefined;
  readonly traffic?: Traffic | undefined;
  readonly saved?: Saved | undefined;
  /** Unknown where it goes by no release list, or has not said so. */
  readonly releases?: SeenReleases | undefined;
  /** Why no rollout may touch it. */
  readonly hold?: string | undefined;
  /** Two machines report with its key. */
  readonly isShared: boolean;
}
