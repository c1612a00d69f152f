/** `gwe service install --platform -- OPTIONS`: the options of `gwe platform serve` become a unit. */
import { GweError } from '../../base/errors.ts';
import { renderPlatformUnit } from '../../service/platform-unit.ts';
import type { CommandCall, CommandSpec, OptionSpec } from '../shell/command.ts';
import { parseArguments } from '../shell/parse.ts';
import { absolutePath } from '../shell/path.ts';

/** The unit keeps everything in a directory of its own. */
const OF_THE_UNIT = 'data';

/** The unit's text. Throws USAGE_* for words that `serve` would not take. */
export function platformUnit(call: CommandCall, serve: CommandSpec, executable: string): string {
  const { options, positionals } = parseArguments(call.positionals, serve.options);
  const [stray] = positionals;
  if (stray !== undefined)
    throw new GweError('USAGE_BAD_VALUE', `cannot use '${stray}': expected options of gwe platform serve`);
  if (options.has(OF_THE_UNIT))
    throw new GweError(
      'USAGE_BAD_OPTION',
      'cannot use --data: expected none, since the unit keeps everything in /var/lib/gwe-platform; what is ' +
        'elsewhere can be moved there while no platform runs on it',
    );
  const given = serve.options.filter(({ name }) => options.has(name));
  const plain = given.filter((option) => !isFile(option));
  return renderPlatformUnit({
    executable,
    options: plain.map(({ name, value }) =>
      value === undefined ? ([name] as const) : ([name, options.text(name) ?? ''] as const),
    ),
    files: new Map(
      given.filter(isFile).map(({ name }) => [name, absolutePath(call.io, options.text(name) ?? '')]),
    ),
    drainSeconds: Number(options.text('drain') ?? '30'),
    needsLowPort: [options.text('listen'), options.text('admin-listen')].some(isLowPort),
  });
}

function isFile({ value }: OptionSpec): boolean {
  return value === 'FILE';
}

function isLowPort(listen: string | undefined): boolean {
  const port = Number(/:(\d+)$/.exec(listen ?? '')?.[1] ?? 0);
  return port > 0 && port < 1024;
}
