/**
 * Everything in a program entry that supervisord 4.2.5 would stumble over: one bad value stops it at its next start,
 * and gwe with it. What passes here is read by supervisord; some of what it would read is refused, because the
 * meaning depends on its working directory, its version or luck.
 */
import { dirname } from 'node:path';
import { GweError } from '../base/errors.ts';
import { type Expansions, expand } from './expand.ts';
import { type ProgramSetting, programMarker } from './program.ts';
import { readBoolean, readPairs, splitCommand, TYPED_OPTIONS } from './values.ts';

/** What supervisord will find around it. */
export interface CheckContext {
  /** A name or a number, as supervisord would look it up. */
  userExists(user: string): boolean;
  directoryExists(path: string): boolean;
  /** Where the entry will be: `%(here)s`. */
  confDirectory: string;
  hostName: string;
  /** supervisord's own environment, for `%(ENV_NAME)s`. */
  environment: Readonly<Record<string, string>>;
}

interface ProgramProblem {
  /** 1-based: of the app's supervisor.conf if the option came from there, else of the entry. */
  line: number;
  option: string;
  found: string;
  expected: string;
  remedy: string;
}

type Report = (option: string, found: string, expected: string, remedy: string) => void;

/** All problems of the entry `text` of `app`; `settings` gives the lines of the app's own file. */
export function checkProgramConfig(
  app: string,
  text: string,
  context: CheckContext,
  settings: readonly ProgramSetting[] = [],
): ProgramProblem[] {
  const problems: ProgramProblem[] = [];
  const entry = readEntry(app, text, problems);
  const report: Report = (option, shown, expected, advice) => {
    // What a variable of the environment holds may be a secret.
    const raw = entry.get(option)?.value ?? '';
    const isHidden = raw.includes('%(ENV_');
    const found = isHidden ? raw : shown;
    const remedy =
      isHidden && shown !== raw ? 'check what the variable holds for supervisord, or do without it' : advice;
    const source = settings.find((setting) => setting.key === option)?.line;
    const line = source ?? entry.get(option)?.line ?? 1;
    problems.push({ line, option, found: found.slice(0, 120), expected, remedy });
  };
  if (context.confDirectory.includes('%')) {
    report('here', context.confDirectory, 'a directory without %', 'move the conf.d directory');
  }
  const values = new Map([...entry].map(([key, { value }]) => [key, value]));
  checkTyped(values, report);
  if (problems.length === 0) checkText(app, values, context, report);
  return problems;
}

/** As `checkProgramConfig`, but throws SUPERVISOR_PROGRAM_INVALID with the first problems in words. */
export function assertProgramConfig(
  app: string,
  text: string,
  context: CheckContext,
  settings: readonly ProgramSetting[] = [],
): void {
  const problems = checkProgramConfig(app, text, context, settings);
  if (problems.length === 0) return;
  const shown = problems.slice(0, 3).map(describeProblem).join('; and ');
  const more = problems.length > 3 ? `; and ${problems.length - 3} more` : '';
  throw new GweError(
    'SUPERVISOR_PROGRAM_INVALID',
    `cannot use supervisor.conf of '${app}': ${shown}${more}`,
    {
      facts: { problems: problems.length },
    },
  );
}

export function describeProblem(problem: ProgramProblem): string {
  const found = problem.found.replace(/\s+/g, ' ');
  return `line ${problem.line}: ${problem.option} is ${found === '' ? 'empty' : `'${found}'`}, expected ${problem.expected} (${problem.remedy})`;
}

interface EntryValue {
  value: string;
  line: number;
}

type Refuse = (problem: ProgramProblem) => void;

/** Reads the one form that `renderProgram` writes; every other line could mean something else to supervisord. */
function readEntry(app: string, text: string, problems: ProgramProblem[]): Map<string, EntryValue> {
  const entry = new Map<string, EntryValue>();
  let last: EntryValue | undefined;
  let inSection = false;
  const refuse: Refuse = (problem) => problems.push({ ...problem, found: problem.found.slice(0, 60) });
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1;
    const option = /^([^\s=:;#[][^=:]*?) =(?: (.*))?$/.exec(raw);
    if (raw === '' || (line === 1 && raw === programMarker(app))) continue;
    if (!inSection && raw === `[program:${app}]`) inSection = true;
    else if (inSection && last !== undefined && raw.startsWith('\t')) last.value += `\n${raw.trim()}`;
    else if (inSection && option?.[1] !== undefined) {
      last = { value: (option[2] ?? '').trim(), line };
      if (entry.has(option[1])) {
        const found = last.value;
        refuse({
          line,
          option: option[1],
          found,
          expected: 'each option once',
          remedy: 'remove one of them',
        });
      }
      entry.set(option[1], last);
    } else {
      const expected = `options of [program:${app}]`;
      refuse({ line, option: 'line', found: raw, expected, remedy: 'write one option per line' });
    }
  }
  for (const [key, { value, line }] of entry) checkCharacters(key, value, line, refuse);
  if (!inSection) {
    const expected = `[program:${app}]`;
    refuse({ line: 1, option: 'section', found: 'no section', expected, remedy: 'add it' });
  }
  return entry;
}

function checkCharacters(key: string, value: string, line: number, refuse: Refuse): void {
  if (!/^[a-z][a-z0-9_]{0,63}$/.test(key)) {
    refuse({
      line,
      option: 'option name',
      found: key,
      expected: 'letters, digits and _',
      remedy: 'indent the line if it belongs to the one above',
    });
  }
  const odd = /[^\n\t\x20-\x7e]/.exec(value)?.[0];
  if (odd !== undefined) {
    const found = `U+${(odd.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
    refuse({
      line,
      option: key,
      found,
      expected: 'printable ASCII',
      remedy: "supervisord may run without UTF-8; set such text in the program's own files",
    });
  }
  if (/(?:^|\s)[;#]/.test(value)) {
    refuse({
      line,
      option: key,
      found: value,
      expected: 'no ; or # after white space',
      remedy: 'supervisord would cut the value there',
    });
  }
}

function checkTyped(values: ReadonlyMap<string, string>, report: Report): void {
  for (const [key, value] of values) {
    const fault = Object.hasOwn(TYPED_OPTIONS, key) ? TYPED_OPTIONS[key]?.(value) : undefined;
    if (fault !== undefined) report(key, value, fault.expected, fault.remedy);
  }
  const stopAsGroup = readBoolean(values.get('stopasgroup') ?? 'false');
  if (stopAsGroup === true && readBoolean(values.get('killasgroup') ?? 'true') === false) {
    report('killasgroup', 'false', 'true, because stopasgroup is true', 'remove killasgroup');
  }
  if (!values.has('command')) report('command', '', 'a command', 'add command = /path/of/the/program');
  const processes = Number(values.get('numprocs') ?? 1);
  const name = values.get('process_name') ?? '%(program_name)s';
  if (processes > 1 && !name.includes('%(process_num)')) {
    report(
      'process_name',
      name,
      '%(process_num) in it, because numprocs is more than 1',
      'write %(program_name)s_%(process_num)02d',
    );
  }
}

/** Expands and judges the options with text in the order in which supervisord does, for each process. */
function checkText(
  app: string,
  values: ReadonlyMap<string, string>,
  context: CheckContext,
  report: Report,
): void {
  const base: Record<string, string | number> = {
    here: context.confDirectory,
    program_name: app,
    group_name: app,
    host_node_name: context.hostName,
  };
  for (const [name, value] of Object.entries(context.environment)) {
    // supervisord gives SUPERVISOR_* to its children and has none itself.
    if (!name.startsWith('SUPERVISOR_')) base[`ENV_${name}`] = value;
  }
  const early = expander(values, context, base, report);
  early('serverurl');
  checkUser(early('user'), context, report);
  const first = Number(values.get('numprocs_start') ?? 0);
  const count = Number(values.get('numprocs') ?? 1);
  let failed = false;
  const reportOnce: Report = (...problem) => {
    failed = true;
    report(...problem);
  };
  for (let number = first; number < first + count && !failed; number++) {
    const names = { ...base, process_num: number, numprocs: count };
    checkProcess(values, context, names, reportOnce);
  }
}

type Expander = (key: string) => string | undefined;

/** Reads one option with its directives replaced; reports what is wrong and gives `undefined`. */
function expander(
  values: ReadonlyMap<string, string>,
  context: CheckContext,
  names: Expansions,
  report: Report,
): Expander {
  return (key) => {
    // supervisord first inserts the directory as plain text, whatever precedes it.
    const value = values.get(key)?.replaceAll('%(here)s', context.confDirectory);
    if (value === undefined) return undefined;
    const expanded = expand(value, names);
    if (expanded.ok) return expanded.text;
    report(key, expanded.found, expanded.expected, expanded.remedy);
    return undefined;
  };
}

function checkProcess(
  values: ReadonlyMap<string, string>,
  context: CheckContext,
  names: Record<string, string | number>,
  report: Report,
): void {
  const environment = expander(values, context, names, report)('environment');
  const read = readPairs(environment ?? '');
  if ('stuckAt' in read) {
    report(
      'environment',
      read.stuckAt,
      'KEY="value",KEY2="value"',
      'put values in double quotes, separated by commas',
    );
    return;
  }
  for (const [key, value] of read.pairs) names[`ENV_${key}`] = value;
  const late = expander(values, context, names, report);
  late('directory');
  checkProcessName(late('process_name'), report);
  checkCommand(late('command'), report);
  for (const stream of ['stdout', 'stderr']) {
    const key = `${stream}_logfile`;
    const once = late(key);
    // supervisord expands log files twice.
    const twice =
      once === undefined ? undefined : expander(new Map([[key, once]]), context, names, report)(key);
    checkLogFile({ key, path: twice, maxBytes: values.get(`${key}_maxbytes`) }, context, report);
  }
}

function checkUser(user: string | undefined, context: CheckContext, report: Report): void {
  if (user === undefined) return;
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.$-]{0,63}$/.test(user) || !context.userExists(user)) {
    report('user', user, 'a user of this gateway', 'create the user in install.sh or remove the option');
  }
}

function checkProcessName(name: string | undefined, report: Report): void {
  if (name === undefined || /^[A-Za-z0-9_.+-]{1,128}$/.test(name)) return;
  report('process_name', name, 'letters, digits, _ . + -', 'remove spaces, colons and slashes');
}

function checkCommand(command: string | undefined, report: Report): void {
  if (command === undefined) return;
  const words = splitCommand(command);
  if (words === undefined) {
    report('command', command, 'matching quotes', 'close the quote, or write \\ before it');
  } else if (words[0] === undefined || words[0] === '') {
    report('command', command, 'a command', 'write command = /path/of/the/program');
  }
}

function checkLogFile(
  { key, path, maxBytes }: { key: string; path: string | undefined; maxBytes: string | undefined },
  context: CheckContext,
  report: Report,
): void {
  if (path === undefined || /^(?:none|off|auto|syslog)$/i.test(path)) return;
  if (!path.startsWith('/')) {
    report(key, path, 'an absolute path, AUTO or NONE', 'write an absolute path');
  } else if (path.startsWith('/dev/') && !/^0+$/.test(maxBytes ?? '')) {
    report(key, path, 'a file that can be rotated', `set ${key}_maxbytes = 0 for a device`);
  } else if (!context.directoryExists(dirname(path))) {
    report(key, path, 'a directory that exists', `create ${dirname(path)} in install.sh`);
  }
}
