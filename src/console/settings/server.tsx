/** What the platform is set to, and where each of it is changed. */
import { settingWords } from '../base/admin-words.ts';
import { useConsole, useLoaded } from '../base/context.ts';
import type { Decoded } from '../base/decode.ts';
import { plain } from '../base/format.ts';
import { SERVER } from '../base/replies.ts';
import { serverWords as says } from '../base/server-words.ts';
import { Table } from '../parts/table.tsx';
import { Unread } from '../parts/unread.tsx';

export function Server() {
  const { api } = useConsole();
  const { value, problem } = useLoaded('/server', () => api.read('/server', SERVER));
  return (
    <>
      <p class="hint">{says.hint}</p>
      <Unread problem={problem} isOld={value !== undefined} />
      {value !== undefined && (
        <Table
          name={settingWords.tabs.server}
          heads={[says.what, says.is, says.changed]}
          rows={rowsOf(value).map(([what, is, by]) => ({
            key: what,
            cells: [what, is, <code key="by">{by}</code>],
          }))}
        />
      )}
    </>
  );
}

type Row = readonly [what: string, is: string, by: string];

const DAY_S = 86_400;

function rowsOf(server: Decoded<typeof SERVER>): readonly Row[] {
  const { database, content, keepHistoryS, drainS, hasSecondFactors, hasSingleSignOn } = server;
  const stored = database === undefined ? says.unknown : plain(database);
  const kept = keepHistoryS === undefined ? says.forEver : says.days(keepHistoryS / DAY_S);
  return [
    [says.windows, says.windowsIs, says.windowsBy],
    [says.retention, kept, says.retentionBy],
    [says.backup, says.backupIs, says.backupBy],
    [says.keys, says.keysIs, says.keysBy],
    [
      says.storage,
      content === undefined ? stored : `${stored}, ${says.contentIn(plain(content))}`,
      says.storageBy,
    ],
    [says.factors, hasSecondFactors ? says.factorsOn : says.factorsOff, says.factorsBy],
    [says.signOn, hasSingleSignOn ? says.on : says.off, says.signOnBy],
    [says.drain, drainS === undefined ? says.unknown : says.drainIs(drainS), says.drainBy],
  ];
}
