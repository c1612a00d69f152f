/** Draws lines over time. Loaded when the first plot is shown: a first view has none, and loads no library for them. */
import UPlot from 'uplot';

export interface Lines {
  /** Unix seconds, growing. */
  readonly times: readonly number[];
  readonly lines: readonly {
    readonly label: string;
    readonly values: readonly (number | null)[];
    readonly dash: readonly number[];
  }[];
  say(value: number): string;
}

export interface Drawing {
  change(lines: Lines): void;
  end(): void;
}

const [HEIGHT, LEAST_WIDTH, AXIS_WIDTH] = [180, 200, 80];

/** The drawing takes the width of `host`, and the colours of the page, light or dark. */
export function draw(host: HTMLElement, first: Lines): Drawing {
  let say = first.say;
  const width = (): number => Math.max(LEAST_WIDTH, host.clientWidth);
  const axis = { stroke: () => colourOf(host, '--ink'), grid: { stroke: () => colourOf(host, '--line') } };
  const plot = new UPlot(
    {
      width: width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: true }, y: { range: rangeOf } },
      axes: [axis, { ...axis, size: AXIS_WIDTH, values: (_, ticks) => ticks.map((tick) => say(tick)) }],
      series: [
        {},
        ...first.lines.map(({ label, dash }) => ({
          label,
          dash: [...dash],
          width: 2,
          stroke: () => colourOf(host, '--accent'),
          points: { show: true, size: 5 },
        })),
      ],
    },
    dataOf(first),
    host,
  );
  const resized = new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT }));
  resized.observe(host);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const redraw = (): void => plot.redraw();
  scheme.addEventListener('change', redraw);
  return {
    change(lines) {
      say = lines.say;
      plot.setData(dataOf(lines));
    },
    end() {
      scheme.removeEventListener('change', redraw);
      resized.disconnect();
      plot.destroy();
    },
  };
}

function dataOf({ times, lines }: Lines): UPlot.AlignedData {
  return [[...times], ...lines.map(({ values }) => [...values])];
}

/** From 0, so that a small change does not look like a great one; a line of one value is not at the edge. */
function rangeOf(_: UPlot, least: number, most: number): [number, number] {
  const [low, high] = [Math.min(0, least), Math.max(0, most)];
  return low === high ? [0, 1] : [low * 1.05, high * 1.05];
}

/** A canvas needs the colour itself, not the name that the style sheet gives to two of them. */
function colourOf(host: HTMLElement, name: string): string {
  const probe = host.ownerDocument.createElement('span');
  probe.style.color = `var(${name})`;
  host.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
