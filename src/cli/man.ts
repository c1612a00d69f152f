/** `gwe man`: the manual page in roff, made from the tables that the parser reads. */
import { VERSION } from '../base/version.ts';
import { ENGINE_SETTINGS } from '../config/schema.ts';
import type { CommandCall, CommandSpec, OptionSpec } from './command.ts';
import type { CommandTree } from './command-tree.ts';
import { EXIT, EXIT_STATUSES } from './exit.ts';

export function manCommand(loadTree: () => Promise<CommandTree>): CommandSpec {
  return {
    path: ['man'],
    positionals: [],
    summary: "Print the manual page: 'gwe man | man -l -', or into /usr/local/share/man/man8/gwe.8",
    options: [],
    run: async (call: CommandCall) => {
      call.io.stdout(renderManPage(await loadTree()));
      return EXIT.ok;
    },
  };
}

export function renderManPage(tree: CommandTree): string {
  return [
    `.TH GWE 8 "" "gwe ${VERSION}" "Gateway Engine"`,
    '.SH NAME',
    'gwe \\- keeps the software of a gateway up to date over the air',
    '.SH SYNOPSIS',
    '.B gwe',
    '.RI [ OPTION ...]',
    '.br',
    '.B gwe',
    '.IR COMMAND\\  [ OPTION ...]',
    '.SH DESCRIPTION',
    'Without options gwe runs in the foreground, as supervisord expects it: it checks in with its platform again and',
    'again, sends its reports, and carries out the updates that it is told of.',
    '.SH OPTIONS',
    ...renderGroups(tree.flags),
    '.SH COMMANDS',
    ...tree.commands.flatMap(renderCommand),
    '.SH SETTINGS',
    'Keys of Engine.config, for',
    '.BR \\-\\-set :',
    ...Object.values(ENGINE_SETTINGS).flatMap((spec) =>
      item(spec.key, `${spec.help} [default: ${spec.default === '' ? 'empty' : String(spec.default)}]`),
    ),
    '.SH EXIT STATUS',
    ...EXIT_STATUSES.flatMap((row) => item(String(row.status), row.meaning)),
    '.SH ENVIRONMENT',
    ...item('GWE_ROOT', 'directory that stands for /, unless --root says otherwise'),
    ...item('NO_COLOR', 'when set, no colours even on a terminal'),
    '.SH FILES',
    ...item('/etc/gwe/Gateway.cfg', 'who this gateway is, and its key'),
    ...item('/etc/gwe/Engine.config', 'how it behaves'),
    ...item('/opt/gwe/apps/NAME/current', 'the active version of an app'),
    ...item('/etc/supervisor/conf.d/NAME.conf', 'its program entry'),
    ...item('/var/lib/gwe', 'what must survive a power cut'),
    '',
  ].join('\n');
}

function renderGroups(options: readonly OptionSpec[]): string[] {
  const groups = [...new Set(options.map(({ group }) => group ?? 'Options'))];
  return groups.flatMap((group) => [
    `.SS ${roff(group)}`,
    ...options.filter((option) => (option.group ?? 'Options') === group).flatMap(renderOption),
  ]);
}

function renderOption(option: OptionSpec): string[] {
  const short = option.short === undefined ? '' : `-${option.short}, `;
  const value = option.value === undefined ? '' : ` ${option.value}${option.many === true ? '...' : ''}`;
  const fallback = option.default === undefined ? '' : ` [default: ${option.default}]`;
  return item(`${short}--${option.name}${value}`, `${option.help}${fallback}`);
}

function renderCommand(spec: CommandSpec): string[] {
  const words = [...spec.path, ...spec.positionals].join(' ');
  const options = spec.options.flatMap(renderOption);
  return [...item(words, spec.summary), ...(options.length === 0 ? [] : ['.RS', ...options, '.RE'])];
}

function item(term: string, text: string): string[] {
  return ['.TP', `.B ${roff(term)}`, roff(text)];
}

/** Nothing of `text` is a request or an escape of roff; a hyphen stays the one that can be copied. */
function roff(text: string): string {
  const plain = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('"', '\\(dq');
  return plain.replace(/^(?=[.'])/, '\\&');
}
