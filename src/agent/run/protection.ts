/** Settings meant for protection that cannot be read, so that nothing is installed. */
import { describeError, GweError } from '../../base/errors.ts';
import type { LoadedSettings } from '../../config/schema.ts';
import { readGatewayKeys } from '../../store/gateway-keys.ts';
import type { Layout } from '../../store/layout.ts';
import { lackOfKeys } from '../../store/trust.ts';

interface Protection {
  layout: Pick<Layout, 'keysDirectory' | 'keyDecisions'>;
  settings(): Pick<LoadedSettings, 'requireSignatures' | 'unreadable'>;
}

/** One sentence for each. */
export function protectionProblems(protection: Protection): string[] {
  return readProtection(protection).problems;
}

/** The same, and whether any key is for release lists, from one look at the keys. */
export function readProtection({ layout, settings }: Protection): { problems: string[]; hasLister: boolean } {
  try {
    const { requireSignatures, unreadable = [] } = settings();
    const ring = readGatewayKeys(layout);
    const lack = lackOfKeys(ring, requireSignatures);
    const problems = [...unreadable, ...ring.problems, ...(lack === undefined ? [] : [lack])];
    return { problems, hasLister: ring.keys.some(({ powers }) => powers?.includes('releases') === true) };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    return { problems: [describeError(error)], hasLister: false };
  }
}
