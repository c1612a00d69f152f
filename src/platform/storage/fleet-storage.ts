/** What the fleet keeps: knowledge of gateways, their tags, events, groups, rollouts. The rules are those of `src/fleet`. */
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
  /** Why two machines are thought to use its key. */
  readonly sharedWhy?: string | undefined;
  readonly unreadable?: Knowledge['unreadable'];
}

export interface StoredEvent {
  /** Growing over all gateways: what `after` of the next page is. */
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

/** The rollout after a change, or one line that says why there is none. */
export type Change = (rollout: Rollout) => { readonly rollout: Rollout } | { readonly refusal: string };

export interface FleetStorage {
  /** Decides now whether a rollout shows this device a command, or takes back one that it has not taken. */
  decideCommand(deviceId: number): Promise<void>;
  /** By serial number. A page may be short, or empty, where few gateways are chosen: `next` goes on. */
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
  /** A reason holds it: no rollout touches it. `undefined` lets it go. False if there is no such gateway. */
  holdGateway(
    product: string,
    serial: string,
    reason: string | undefined,
    audit: AuditFacts,
  ): Promise<boolean>;
  /** The number of the newest event of all products; 0 without any. */
  lastEventId(): Promise<number>;
  /** Oldest first, those after the event of this number; of one gateway, or of the product. */
  listEvents(
    product: string,
    request: { after: number; limit: number; serial?: string | undefined },
  ): Promise<StoredEvent[]>;
  putGroup(product: string, group: Group, audit: AuditFacts): Promise<void>;
  listGroups(product: string): Promise<Group[]>;
  /** All of it or nothing. `waves`: serial numbers by wave; those that are gone meanwhile are left out. */
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
  /** Entries of greater numbers, in their order. Written with the change that each tells of, in one transaction. */
  listAudit(after: number, limit: number): Promise<AuditEntry[]>;
  /** What time alone does: deadlines, ends of waves and soaks. */
  tickRollouts(): Promise<void>;
}
