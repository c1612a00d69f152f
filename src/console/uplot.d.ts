/** The part of uplot that is used. */
declare module 'uplot' {
  namespace UPlot {
    type AlignedData = (readonly (number | null)[])[];
  }
  interface Axis {
    readonly stroke: () => string;
    readonly grid: { readonly stroke: () => string };
    readonly size?: number;
    readonly values?: (plot: UPlot, ticks: readonly number[]) => readonly string[];
  }
  interface Series {
    readonly label?: string;
    readonly dash?: readonly number[];
    readonly width?: number;
    readonly stroke?: () => string;
    readonly points?: { readonly show: boolean; readonly size: number };
  }
  interface Options {
    readonly width: number;
    readonly height: number;
    readonly legend: { readonly show: boolean };
    readonly cursor: { readonly show: boolean };
    readonly scales: {
      readonly x: { readonly time: boolean };
      readonly y: { readonly range: (plot: UPlot, least: number, most: number) => [number, number] };
    };
    readonly axes: readonly Axis[];
    readonly series: readonly Series[];
  }
  class UPlot {
    constructor(options: Options, data: UPlot.AlignedData, host: HTMLElement);
    setData(data: UPlot.AlignedData): void;
    setSize(size: { readonly width: number; readonly height: number }): void;
    redraw(): void;
    destroy(): void;
  }
  export default UPlot;
}
