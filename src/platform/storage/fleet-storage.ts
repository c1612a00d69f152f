/**
 * What the fleet stores: knowledge of gateways, their tags, events, groups, rollouts. The rules are in `src/fleet`.
 */
import type { Knowledge } from '../../fleet/gateway/learn.ts';
import type { GatewayRecord } from '../../fleet/gateway/record.ts';
import type { AuditEntry, AuditFacts } from '../../fleet/people/audit.ts';
import type { StoredToken } from '../../fleet/people/tokens.ts';
import type { Member, Rollout } from '../../fleet/rollout/rollout.ts';
import type { Page, PageRequest } from './page.ts';

export interface FleetGateway extends GatewayRecord {
  readonly id: number;
  readonly intervalS: number;
  readonly waiting?: string | undefined;
  /** Why two machines are assumed to use its key. */
  readonly sharedWhy?: string | undefined;
  readonly unreadable?: Knowledge['unreadable'];
}

export interface StoredEvent {
  /** Grows over all gateways; it is what `after` of the next page takes. */
  readonly id: number;
  readonly serial: string;
  readonly at: number;
  readonly kind: string;
  readonly app: string;
  readonly version: string;
  readonly outcome: string;
  readonly code: string;
  readonly command: string;
  readonly text: string;
}

export interface StoredRollout {
  readonly product: string;
  readonly name: string;
  /** Growing with every change. */
  readonly revision: number;
  readonly rollout: Rollout;
}

interface Group {
  readonly name: string;
  readonly filter: string;
}

export type RolloutChanged = StoredRollout | 'unknown' | 'changed' | { readonly refusal: string };

/** The rollout after a change, or one line that says why the change is refused. */
export type Change = (rollout: Rollout) => { readonly rollout: Rollout } | { readonly refusal: string };

export interface FleetStorage {
  /** Decides now whether a rollout shows this device a command, or takes back one that the device has not taken. */
  decideCommand(deviceId: number): Promise<void>;
  /** By serial number. Where few gateways match, a page may be short or empty: `next` continues the list. */
  listGateways(
    product: string,
    request: PageRequest & { chosen?: (gateway: GatewayRecord, nowS: number) => boolean },
  ): Promise<Page<FleetGateway>>;
  findGateway(product: string, serial: string): Promise<FleetGateway | undefined>;
  /** A value sets the tag, `null` removes it. False if there is no such gateway. */
  tagGateway(
    product: string,
    serial: string,
    tags: Readonly<Record<string, string | null>>,
    audit: AuditFacts,
  ): Promise<boolean>;
  /**
   * A reason puts it on hold: then no rollout touches it. `undefined` ends that. False if there is no such gateway.
   */
  holdGateway(
    product: string,
    serial: string,
    reason: string | undefined,
    audit: AuditFacts,
  ): Promise<boolean>;
  /** The number of the newest event of all products; 0 if there is none. */
  lastEventId(): Promise<number>;
  /** Events after the one of this number, oldest first; of one gateway, or of the whole product. */
  listEvents(
    product: string,
    request: { after: number; limit: number; serial?: string | undefined },
  ): Promise<StoredEvent[]>;
  putGroup(product: string, group: Group, audit: AuditFacts): Promise<void>;
  listGroups(product: string): Promise<Group[]>;
  /** All of it or nothing. `waves`: serial numbers by wave; those of devices removed meanwhile are left out. */
  createRollout(
    stored: Omit<StoredRollout, 'revision'>,
    waves: readonly (readonly string[])[],
    audit: AuditFacts,
  ): Promise<void>;
  findRollout(product: string, id: string): Promise<StoredRollout | undefined>;
  /** The newest first. */
  listRollouts(product: string, limit: number): Promise<StoredRollout[]>;
  /** Refused with 'changed' where `revision` is given and is not the present one. */
  changeRollout(
    which: { readonly product: string; readonly id: string; readonly revision?: number | undefined },
    change: Change,
    audit: AuditFacts,
  ): Promise<RolloutChanged>;
  /** Puts its failed members back to waiting, and opens it again. */
  retryRollout(product: string, id: string, audit: AuditFacts): Promise<RolloutChanged>;
  /** By serial number. */
  listMembers(id: string, request: PageRequest): Promise<Page<Member>>;
  putToken(token: StoredToken, audit: AuditFacts): Promise<void>;
  findToken(id: string): Promise<StoredToken | undefined>;
  listTokens(): Promise<StoredToken[]>;
  /** False if there is no such token. */
  removeToken(id: string, audit: AuditFacts): Promise<boolean>;
  /**
   * Entries with greater numbers, in order. Each is written in the same transaction as the change that it records.
   */
  listAudit(after: number, limit: number): Promise<AuditEntry[]>;
  /** What happens by the passing of time alone: deadlines, ends of waves and soaks. */
  tickRollouts(): Promise<void>;
}
