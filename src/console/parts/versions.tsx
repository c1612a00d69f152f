/** The versions of each app as bars, the most frequent first; each leads to its gateways. */
import { useConsole } from '../base/context.ts';
import { plain } from '../base/format.ts';
import type { Status } from '../base/replies.ts';
import { hrefOf } from '../base/route.ts';
import { words } from '../base/words.ts';

const MOST_VERSIONS = 8;

export function Versions({ status }: { status: Status }) {
  const { product } = useConsole();
  const apps = [...status.apps].sort(([a], [b]) => a.localeCompare(b));
  return (
    <section aria-labelledby="versions">
      <h2 id="versions">{words.versions.title}</h2>
      {apps.length === 0 && <p>{words.versions.none}</p>}
      {apps.map(([app, versions]) => (
        <table key={app}>
          <caption>{plain(app)}</caption>
          <thead class="unseen">
            <tr>
              <th scope="col">{words.versions.version}</th>
              <th scope="col">{words.heard.title}</th>
            </tr>
          </thead>
          <tbody>
            {[...versions]
              .sort(([, a], [, b]) => b - a)
              .slice(0, MOST_VERSIONS)
              .map(([version, count]) => (
                <tr key={version}>
                  <th scope="row">
                    <a
                      href={hrefOf({ product, page: 'gateways', query: { filter: `app.${app}=${version}` } })}
                    >
                      {plain(version)}
                    </a>
                  </th>
                  <td>
                    <meter min={0} max={status.gateways} value={count} aria-hidden="true" />{' '}
                    {count.toLocaleString('en')}
                  </td>
                </tr>
              ))}
          </tbody>
        </table>
      ))}
    </section>
  );
}
