/**
 * A database from before the fleet, until `gwe platform migrate`: nothing is rolled out, and requests for it are
 * refused with that reason.
 */
import { GweError } from '../../../base/errors.ts';
import type { FleetStorage } from '../fleet-storage.ts';
import type { RecordStorage } from '../record-storage.ts';

export function createNoFleet(): Omit<FleetStorage, 'decideCommand'> & RecordStorage {
  const refuse = async (): Promise<never> => {
    throw new GweError(
      'PLATFORM_STATE',
      'cannot keep tags, groups, events and rollouts: the database has no tables for them; run gwe platform migrate',
    );
  };
  return {
    tickRollouts: async () => undefined,
    listGateways: refuse,
    findGateway: refuse,
    tagGateway: refuse,
    listEvents: refuse,
    putGroup: refuse,
    listGroups: refuse,
    createRollout: refuse,
    findRollout: refuse,
    listRollouts: refuse,
    changeRollout: refuse,
    listMembers: refuse,
    retryRollout: refuse,
    putToken: refuse,
    findToken: async () => undefined,
    listTokens: async () => [],
    removeToken: refuse,
    listAudit: refuse,
    lastEventId: refuse,
    holdGateway: refuse,
    findRecord: async () => undefined,
    listRecords: refuse,
    changeRecord: refuse,
    sweepRecords: async () => undefined,
  };
}
