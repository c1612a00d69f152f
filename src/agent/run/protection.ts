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
export function protectionProblems({ layout, settings }: Protection): string[] {
  try {
    const { requireSignatures, unreadable = [] } = settings();
    const ring = readGatewayKeys(layout);
    const lack = lackOfKeys(ring, requireSignatures);
    return [...unreadable, ...ring.problems, ...(lack === undefined ? [] : [lack])];
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    return [describeError(error)];
  }
}
