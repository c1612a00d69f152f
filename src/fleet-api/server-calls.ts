/** What the platform itself is set to, for an admin to look at. It is changed where it is started, not here. */
import type { ApiCall } from './call.ts';

export const serverCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/server',
    permission: 'audit.read',
    summary: 'What the platform is set to: storage, how long history is kept, second factors, single sign-on',
    run: async ({ server, sealer, signOn }) => ({
      body: {
        database: server?.database ?? null,
        content: server?.content ?? null,
        keepHistoryS: server?.keepHistoryS ?? null,
        drainS: server?.drainS ?? null,
        hasSecondFactors: sealer !== undefined,
        hasSingleSignOn: signOn !== undefined,
      },
    }),
  },
];
