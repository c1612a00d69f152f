/**
 * Good and bad updates of each day as bars, drawn here: a library for it would be larger than the rest of the
 * console.
 */
import { reportWords as says } from '../base/admin-words.ts';
import type { Updates } from '../base/replies.ts';

const [WIDTH, HEIGHT] = [600, 120];

export function dayOf(atS: number): string {
  return new Date(atS * 1000).toISOString().slice(0, 10);
}

export function DayBars({ days }: { days: Updates['days'] }) {
  const most = Math.max(1, ...days.map(({ good, bad }) => good + bad));
  const sum = (kind: 'good' | 'bad'): number => days.reduce((before, day) => before + day[kind], 0);
  const width = WIDTH / Math.max(1, days.length);
  const high = (count: number): number => (count / most) * HEIGHT;
  return (
    <svg
      class="days"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`${says.updates}: ${says.updatesSaid(sum('good'), sum('bad'))}`}
    >
      {days.map(({ day, good, bad }, at) => (
        <g key={day}>
          <title>{`${dayOf(day)}: ${says.updatesSaid(good, bad)}`}</title>
          <rect class="ground" x={at * width} y={0} width={width - 2} height={HEIGHT} />
          <rect class="good" x={at * width} y={HEIGHT - high(good)} width={width - 2} height={high(good)} />
          <rect
            class="bad"
            x={at * width}
            y={HEIGHT - high(good + bad)}
            width={width - 2}
            height={high(bad)}
          />
        </g>
      ))}
    </svg>
  );
}
