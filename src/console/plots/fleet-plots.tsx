/** The versions of a fleet and its bytes, day by day. */
import { useConsole, useLoaded } from '../base/context.ts';
import { bytes, plain } from '../base/format.ts';
import { plotWords as says } from '../base/plot-words.ts';
import { DAYS, type Days } from '../base/replies.ts';
import { Unread } from '../parts/unread.tsx';
import { DASHES, Plot } from './plot.tsx';

const MOST_APPS = 4;
const count = (value: number): string => value.toLocaleString('en');

export function FleetPlots() {
  const { api, product } = useConsole();
  const path = `/products/${encodeURIComponent(product)}/days?days=90`;
  const { value, problem } = useLoaded(path, () => api.read(path, DAYS));
  const days = value?.days ?? [];
  return (
    <section aria-labelledby="over-time">
      <h2 id="over-time">{says.fleet}</h2>
      <Unread problem={problem} isOld={value !== undefined} />
      {value !== undefined && days.length < 2 && <p>{says.tooFewDays}</p>}
      {days.length >= 2 && (
        <div class="plots">
          {appsOf(days).map((app) => (
            <Plot
              key={app}
              name={says.versionsOf(plain(app))}
              times={days.map(({ day }) => day)}
              lines={linesOf(days, app)}
              say={count}
            />
          ))}
          <Plot name={says.monthBytes} times={days.map(({ day }) => day)} lines={bytesOf(days)} say={bytes} />
        </div>
      )}
    </section>
  );
}

/** The apps on most gateways, on the last day. */
function appsOf(days: Days): readonly string[] {
  const sumOf = (versions: ReadonlyMap<string, number>): number =>
    [...versions.values()].reduce((sum, one) => sum + one, 0);
  return [...(days.at(-1)?.apps ?? [])]
    .sort(([, one], [, other]) => sumOf(other) - sumOf(one))
    .slice(0, MOST_APPS)
    .map(([app]) => app);
}

/** What patches saved is not known of days that were counted by an older platform. */
function bytesOf(days: Days) {
  const saved = days.map(({ savedBytes }) => savedBytes ?? null);
  return [
    { label: says.moved, values: days.map(({ monthBytes }) => monthBytes) },
    ...(saved.every((value) => value === null) ? [] : [{ label: says.saved, values: saved }]),
  ];
}

/** The versions on most gateways, on any of the days; as many as can be told apart. */
function linesOf(days: Days, app: string) {
  const most = new Map<string, number>();
  for (const { apps } of days)
    for (const [version, gateways] of apps.get(app) ?? [])
      most.set(version, Math.max(gateways, most.get(version) ?? 0));
  return [...most]
    .sort(([, one], [, other]) => other - one)
    .slice(0, DASHES.length)
    .map(([version]) => ({
      label: plain(version),
      values: days.map(({ apps }) => apps.get(app)?.get(version) ?? 0),
    }));
}
