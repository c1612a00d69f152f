/** Put in by the build (esbuild's define); not there when the sources run as they are. */
declare const GWE_VERSION: string | undefined;
declare const GWE_BUILD_TIME: number | undefined;

/** gwe's own version as in package.json, or `dev` when run from source. */
export const VERSION: string = typeof GWE_VERSION === 'undefined' ? 'dev' : GWE_VERSION;

/** When the sources of this build were committed, Unix seconds; 0 when run from source. */
export const BUILD_TIME_S: number = typeof GWE_BUILD_TIME === 'undefined' ? 0 : GWE_BUILD_TIME;

/** The last day on which a release line of Node gets fixes, as its makers announced it. */
const LINE_ENDS: Readonly<Record<string, string>> = {
  '20': '2026-04-30',
  '22': '2027-04-30',
  '24': '2028-04-30',
};

interface RuntimeFacts {
  node: string;
  /** Absent for a line that is not known here. */
  fixesUntil?: string;
  isPastEnd: boolean;
}

/** Which runtime is in this gwe, and whether anybody still maintains it. */
export function runtimeFacts(nowMs: number, node = process.versions.node): RuntimeFacts {
  const fixesUntil = LINE_ENDS[node.split('.')[0] ?? ''];
  if (fixesUntil === undefined) return { node, isPastEnd: false };
  return { node, fixesUntil, isPastEnd: nowMs > Date.parse(`${fixesUntil}T23:59:59Z`) };
}
