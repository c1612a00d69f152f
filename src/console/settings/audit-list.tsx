/** What people and the stop rule did, the newest first. */
import { settingWords } from '../base/admin-words.ts';
import { useConsole, useLoaded } from '../base/context.ts';
import { plain } from '../base/format.ts';
import { AUDIT } from '../base/replies.ts';
import { hrefOf } from '../base/route.ts';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { Unread } from '../parts/unread.tsx';

const says = settingWords.audit;
const PAGE = 50;

/** `before`: the number of the entry before which the page ends; empty for the newest page. */
export function AuditList({ before }: { before: string }) {
  const { api, product } = useConsole();
  const end = /^\d{1,12}$/.test(before) ? Number(before) : undefined;
  const query: Record<string, string> =
    end === undefined
      ? { newest: 'true', limit: String(PAGE) }
      : { after: String(Math.max(0, end - 1 - PAGE)), limit: String(Math.max(1, Math.min(PAGE, end - 1))) };
  const path = `/audit?${new URLSearchParams(query)}`;
  const { value, problem } = useLoaded(path, () => api.read(path, AUDIT));
  const entries = value?.entries.toReversed() ?? [];
  const oldest = entries.at(-1)?.number ?? 1;
  const place = (more: Record<string, string>): string =>
    hrefOf({ product, page: 'settings', item: 'audit', query: more });
  return (
    <>
      <Unread problem={problem} isOld={value !== undefined} />
      {value !== undefined && entries.length === 0 && <p>{says.none}</p>}
      {entries.length > 0 && (
        <Table
          name={settingWords.tabs.audit}
          heads={[says.number, says.when, says.who, says.what, says.target, says.after]}
          rows={entries.map(({ number, at, actor, action, target, after }) => ({
            key: String(number),
            cells: [
              number,
              <Time key="at" at={at} />,
              plain(actor),
              plain(action),
              plain(target),
              plain(after),
            ],
          }))}
        />
      )}
      <p class="actions">
        {oldest > 1 && <a href={place({ before: String(oldest) })}>{says.older}</a>}
        {end !== undefined && <a href={place({})}>{says.newest}</a>}
      </p>
    </>
  );
}
