/** What the release list of the product says, where it has one: how long it lasts, and what it does not name. */
import { contentWords as says } from '../base/admin-words.ts';
import { useConsole, useLoaded } from '../base/context.ts';
import { plain } from '../base/format.ts';
import { RELEASES } from '../base/replies.ts';
import { words } from '../base/words.ts';
import { Time } from './time.tsx';

const MOST_NAMED = 20;

export function ReleaseNote() {
  const { api, product, nowS } = useConsole();
  const path = `/products/${encodeURIComponent(product)}/releases`;
  const { value } = useLoaded(path, () => api.read(path, RELEASES));
  if (value === undefined || (value.list === undefined && value.problem === undefined)) return null;
  const { list, problem, unlisted } = value;
  const versions = [...(list?.apps.values() ?? [])].reduce((sum, { length }) => sum + length, 0);
  const left = unlisted
    .slice(0, MOST_NAMED)
    .map((one) => says.there(plain(one.app), plain(one.version), one.gateways));
  return (
    <section aria-labelledby="release-list">
      <h2 id="release-list">{says.list}</h2>
      {list !== undefined && (
        <p>
          {says.listed(list.release, versions)} <Time at={list.expires} />.{' '}
          {list.expires <= nowS && says.listOver}
        </p>
      )}
      {problem !== undefined && <p class="problem">{says.listBad(plain(problem))}</p>}
      {left.length > 0 && (
        <p>
          {says.notNamed} {left.join(', ')}
          {unlisted.length > left.length && ` ${words.more(unlisted.length - left.length)}`}
        </p>
      )}
    </section>
  );
}
