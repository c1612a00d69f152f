/**
 * The Python modules that came with the original Gateway Engine and its device-client, and that apps of the time
 * import. gwe has none of them: an app that needs one has to bring it.
 */
const MODULES = ['GatewayEngine', 'exo'] as const;
type OriginalModule = (typeof MODULES)[number];

const ADVICE =
  "gwe has no Python modules: pack it with the app, or use 'gwe --gateway-cik' and the device API instead";

/** What to say behind the output of a script or program that ended for the lack of one; '' where it did not. */
export function explainMissingModule(output: string): string {
  const names = [...output.matchAll(/(?:ModuleNotFound|Import)Error: No module named '?(\w+)/g)];
  const missing = MODULES.find((module) => names.some(([, name]) => name === module));
  return missing === undefined ? '' : `; the Python module '${missing}' is the original's: ${ADVICE}`;
}

/** Those that `source`, a text of Python or shell, imports. */
export function findImports(source: string): OriginalModule[] {
  const lines = source.split('\n').filter((line) => !/^\s*#/.test(line));
  return MODULES.filter((module) => {
    const statement = new RegExp(`\\b(?:from|import)\\s+(?:[\\w.]+\\s*,\\s*)*${module}\\b`);
    return lines.some((line) => statement.test(line));
  });
}

/** A sentence for each of `imports` (path to modules) that no path of the tarball brings. */
export function describeImports(
  imports: ReadonlyMap<string, readonly OriginalModule[]>,
  paths: ReadonlySet<string>,
): string[] {
  const isBrought = (module: OriginalModule): boolean =>
    [...paths].some((path) => new RegExp(`(^|/)${module}(\\.py$|/)`).test(path));
  return MODULES.filter((module) => !isBrought(module)).flatMap((module) => {
    const users = [...imports].filter(([, modules]) => modules.includes(module)).map(([path]) => path);
    const [first] = users;
    if (first === undefined) return [];
    const others = users.length === 1 ? '' : ` and ${users.length - 1} more`;
    return [`${first}${others}: imports the Python module '${module}' of the original; ${ADVICE}`];
  });
}
