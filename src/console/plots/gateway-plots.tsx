/** Disk, memory, clock and data budget of a gateway over time, as far as it has reported them. */
import { useConsole, useLoaded } from '../base/context.ts';
import { bytes } from '../base/format.ts';
import { plotWords as says } from '../base/plot-words.ts';
import { FIGURES } from '../base/replies.ts';
import { Unread } from '../parts/unread.tsx';
import { Plot } from './plot.tsx';

const FIGURE_NAMES = ['disk', 'memory', 'clock', 'budget'] as const;
const seconds = (value: number): string => `${value.toLocaleString('en')} s`;

/** `path`: the gateway's own, below the API. */
export function GatewayPlots({ path }: { path: string }) {
  const { api } = useConsole();
  const { value, problem } = useLoaded(`${path}/figures`, () => api.read(`${path}/figures`, FIGURES));
  return (
    <section aria-labelledby="figures">
      <h2 id="figures">{says.gateway}</h2>
      <Unread problem={problem} isOld={value !== undefined} />
      <div class="plots">
        {value !== undefined &&
          FIGURE_NAMES.map((name) =>
            // Most gateways have no data budget.
            value[name].length === 0 && name === 'budget' ? null : (
              <Line
                key={name}
                name={says[name]}
                points={value[name]}
                say={name === 'clock' ? seconds : bytes}
              />
            ),
          )}
      </div>
    </section>
  );
}

interface LineProps {
  readonly name: string;
  readonly points: readonly { readonly at: number; readonly value: number }[];
  say(value: number): string;
}

function Line({ name, points, say }: LineProps) {
  if (points.length < 2)
    return (
      <p>
        {name}: {says.tooFew(points.length)}
      </p>
    );
  const values = points.map(({ value }) => value);
  return <Plot name={name} times={points.map(({ at }) => at)} lines={[{ label: name, values }]} say={say} />;
}
