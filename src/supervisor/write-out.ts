/**
 * `%(ENV_X)s` of a program entry, written out: at its next start supervisord may not have the variable, and would not
 * start.
 */
import { GweError } from '../base/errors.ts';
import { expand } from './expand.ts';
import type { ProgramSetting } from './program.ts';
import { readPairs } from './values.ts';

interface WrittenOut {
  settings: ProgramSetting[];
  /** The variables whose values are in the settings now. */
  names: string[];
}

const VARIABLE = /%%|%\(ENV_([^()]+)\)(0?\d{0,2})s/g;
/** supervisord expands these before it knows the program's own `environment`. */
const EARLY = ['environment', 'user', 'serverurl'];
/** And these twice. */
const TWICE = ['stdout_logfile', 'stderr_logfile'];

/**
 * The settings with each variable of `environment`, which is supervisord's own, replaced by its value of today. What
 * the program's own `environment` sets stays a variable. Throws SUPERVISOR_PROGRAM_INVALID, without the value, for
 * one that an entry cannot hold.
 */
export function writeOutVariables(
  app: string,
  settings: readonly ProgramSetting[],
  environment: Readonly<Record<string, string>>,
): WrittenOut {
  const names = new Set<string>();
  const write = (setting: ProgramSetting, own: ReadonlySet<string>): ProgramSetting => {
    const value = setting.value.replace(VARIABLE, (whole, name: string | undefined, width: string) => {
      const isOurs = name !== undefined && !own.has(name) && Object.hasOwn(environment, name);
      const found = isOurs ? environment[name] : undefined;
      if (name === undefined || found === undefined) return whole;
      names.add(name);
      assertWritable(app, setting, name, found);
      const text = doublePercent(found, TWICE.includes(setting.key) ? 2 : 1);
      return text.padStart(Number(width) + text.length - found.length, ' ');
    });
    if (value !== setting.value && /(?:^|\s)[;#]/.test(value))
      throw unwritable(app, setting, [...names].join(', '));
    return { ...setting, value };
  };
  const early = settings.map((setting) =>
    EARLY.includes(setting.key) ? write(setting, new Set()) : setting,
  );
  const own = ownVariables(app, early.find(({ key }) => key === 'environment')?.value ?? '');
  const all = early.map((setting) => (EARLY.includes(setting.key) ? setting : write(setting, own)));
  return { settings: all, names: [...names].sort() };
}

function doublePercent(value: string, times: number): string {
  return times === 0 ? value : doublePercent(value.replaceAll('%', '%%'), times - 1);
}

function ownVariables(app: string, environment: string): Set<string> {
  const names = {
    here: '',
    program_name: app,
    group_name: app,
    host_node_name: '',
    process_num: 0,
    numprocs: 1,
  };
  const expanded = expand(environment, names);
  const read = readPairs(expanded.ok ? expanded.text : environment);
  return new Set('pairs' in read ? read.pairs.keys() : []);
}

function assertWritable(app: string, setting: ProgramSetting, name: string, value: string): void {
  if (/[^\x20-\x7e]/.test(value) || value.includes('%(here)s')) throw unwritable(app, setting, name);
}

function unwritable(app: string, { key, line }: ProgramSetting, name: string): GweError {
  const where = line === undefined ? key : `line ${line}: ${key}`;
  return new GweError(
    'SUPERVISOR_PROGRAM_INVALID',
    `cannot use supervisor.conf of '${app}': ${where} uses ${name} of supervisord's environment, whose value cannot be part of ` +
      'a program entry (control characters, non-ASCII characters, or a comment sign); expected printable ASCII; set it in ' +
      "the program's own files",
  );
}
