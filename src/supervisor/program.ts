import { isTorn } from '../base/edited-file.ts';
import { GweError } from '../base/errors.ts';
import { type IniDocument, type IniEntry, type IniSection, parseIni } from '../base/ini.ts';
import { isKnownOption } from './values.ts';
import { escapePercent, type VersionFiles, versionCommand } from './version-command.ts';

/** An app's `supervisor.conf` turned into the text of its program entry (one-platform.md §4.7). Pure. */

interface ProgramDefaults {
  /** Where `APP.log` goes when the app does not say. */
  logDirectory: string;
  /** The program's working directory when the app names none. */
  directory?: string;
  /** What outlives the app's versions; the program finds it in `GWE_DATA_DIR`. */
  dataDirectory?: string;
  version?: VersionFiles;
  /** Whom the program runs as when the app does not say. */
  user?: string;
}

export interface ProgramSetting {
  key: string;
  /** Lines of a value that goes over several are joined by `\n`. */
  value: string;
  /** 1-based line of the app's supervisor.conf; absent for gwe's own defaults. */
  line?: number;
}

interface ProgramWarning {
  kind:
    | 'section-name'
    | 'no-command'
    | 'duplicate'
    | 'comment'
    | 'relative-command'
    | 'version-file'
    | 'unknown-option';
  /** 1-based line of the app's supervisor.conf. */
  line: number;
  message: string;
}

export interface RenderedProgram {
  /** The whole file for conf.d, its first line the marker of `programMarker`. */
  text: string;
  warnings: ProgramWarning[];
  settings: ProgramSetting[];
  /** Variables of supervisord's environment whose values are in it: it is for root's eyes then. */
  variables?: string[];
}

/** Far more than any real program entry, and little enough to read into memory unasked. */
export const PROGRAM_LIMIT_BYTES = 64 * 1024;

/** Where an app's scripts and its program find the app's data directory. */
export const DATA_VARIABLE = 'GWE_DATA_DIR';

/** What the original gwe wrote when an app gave no command: a program that always fails (one-platform.md §4.7). */
const PLACEHOLDER_COMMAND = 'command';

/** First line of every program entry that gwe owns. */
export function programMarker(app: string): string {
  return `; written by gwe for ${app}; changes are lost at the next update`;
}

/** The mode of its file. */
export function programMode({ variables = [] }: Pick<RenderedProgram, 'variables'>): number {
  return variables.length > 0 ? 0o600 : 0o644;
}

/**
 * Whether `text` is a program entry that gwe wrote for `app`, and so may replace or remove; or what a power cut has
 * left of one: nothing, NULs, or the beginning of the first line. Such a file holds nothing of anybody else.
 */
export function isOwnProgram(app: string, text: string): boolean {
  const first = `${programMarker(app)}\n`;
  return text.startsWith(first) || first.startsWith(text) || /^[\0\s]*$/.test(text);
}

/** Whether `text`, in the place of the entry `expected`, is what a power cut has left of it, or of the one before. */
export function isTornProgram(app: string, text: string, expected: string): boolean {
  return isOwnProgram(app, text) && (isTorn(text, expected) || !text.endsWith('\n'));
}

/**
 * The program entry of `app`. `source` is the text of the artifact's supervisor.conf; without one the app is a
 * one-off, nothing is started and the result is `undefined`. The text still has to pass `checkProgramConfig`.
 * Throws SUPERVISOR_PROGRAM_INVALID if `source` is not one section of options.
 */
export function renderProgram(app: string, source: string, defaults: ProgramDefaults): RenderedProgram;
export function renderProgram(
  app: string,
  source: string | undefined,
  defaults: ProgramDefaults,
): RenderedProgram | undefined;
export function renderProgram(
  app: string,
  source: string | undefined,
  defaults: ProgramDefaults,
): RenderedProgram | undefined {
  if (source === undefined) return undefined;
  if (Buffer.byteLength(source) > PROGRAM_LIMIT_BYTES) {
    throw invalid(app, `${Buffer.byteLength(source)} bytes, expected at most ${PROGRAM_LIMIT_BYTES}`);
  }
  const warnings: ProgramWarning[] = [];
  const sections = programSections(app, parseIni(source), warnings);
  const options = mergeOptions(
    sections.flatMap((section) => section.entries),
    warnings,
  );
  if (!options.has('command')) {
    const line = sections[0]?.line ?? 1;
    const message = `line ${line}: no 'command' in this section; the program cannot start`;
    warnings.push({ kind: 'no-command', line, message });
  }
  const settings = withDefaults(app, options, defaults, warnings);
  return { text: renderSettings(app, settings), warnings, settings };
}

/** What comes first in the `environment` of an entry whose app has the data directory `path`. */
export function dataDirectoryPair(path: string): string {
  return `${DATA_VARIABLE}="${escapePercent(path)}"`;
}

/** The text of a program entry. */
export function renderSettings(app: string, settings: readonly ProgramSetting[]): string {
  const lines = settings.map(({ key, value }) => `${key} = ${value.replaceAll('\n', '\n\t')}`.trimEnd());
  return [programMarker(app), `[program:${app}]`, ...lines, ''].join('\n');
}

function programSections(app: string, document: IniDocument, warnings: ProgramWarning[]): IniSection[] {
  const [problem] = document.problems;
  if (problem !== undefined) throw invalid(app, `line ${problem.line}: ${problem.message}`);
  const [first] = document.sections;
  if (first === undefined) throw invalid(app, 'no section, expected [supervisord] above the options');
  const other = document.sections.find((section) => section.name !== first.name);
  if (other !== undefined) {
    throw invalid(app, `line ${other.line}: a second section [${other.name}], expected [supervisord] alone`);
  }
  if (first.name === 'supervisord') return document.sections;
  if (!first.name.startsWith('program:')) {
    throw invalid(app, `line ${first.line}: section [${first.name}], expected [supervisord]`);
  }
  warnings.push({
    kind: 'section-name',
    line: first.line,
    message: `line ${first.line}: section [${first.name}] taken as [supervisord]; write [supervisord], gwe names the program ${app}`,
  });
  return document.sections;
}

/** One setting per key: the last value, as Python's parser had it, at the place of the first. */
function mergeOptions(
  entries: readonly IniEntry[],
  warnings: ProgramWarning[],
): Map<string, Required<ProgramSetting>> {
  const merged = new Map<string, Required<ProgramSetting>>();
  for (const { key, value, line } of entries) {
    const earlier = merged.get(key);
    if (earlier !== undefined) {
      const message = `line ${line}: '${key}' again, after line ${earlier.line}; the last one counts`;
      warnings.push({ kind: 'duplicate', line, message });
    }
    if (!isKnownOption(key)) {
      const message = `line ${line}: supervisord has no option '${key}' and ignores it`;
      warnings.push({ kind: 'unknown-option', line, message });
    }
    merged.set(key, { key, value: cutComments(key, value, line, warnings), line });
  }
  return merged;
}

/** supervisord 4 ends a value at white space and `#`; the original's parser did not, so authors get a warning. */
function cutComments(key: string, value: string, line: number, warnings: ProgramWarning[]): string {
  const cut = value
    .split('\n')
    .map((part) => part.replace(/(^|\s)#.*$/, '').trim())
    .filter((part, index) => part !== '' || index === 0)
    .join('\n');
  if (cut !== value) {
    const message = `line ${line}: supervisord takes what follows ' #' in '${key}' for a comment; move it to a line of its own`;
    warnings.push({ kind: 'comment', line, message });
  }
  return cut;
}

function withDefaults(
  app: string,
  options: Map<string, Required<ProgramSetting>>,
  defaults: ProgramDefaults,
  warnings: ProgramWarning[],
): ProgramSetting[] {
  const settings = new Map<string, ProgramSetting>();
  const own = options.get('command');
  settings.set('command', own === undefined ? { key: 'command', value: PLACEHOLDER_COMMAND } : own);
  for (const [key, value] of defaultOptions(app, defaults)) settings.set(key, { key, value });
  // A stop that has to be a kill takes the children too. TERM goes to the parent alone, which may want to end them in
  // order.
  if (!options.has('killasgroup') && !options.has('stopasgroup'))
    settings.set('killasgroup', { key: 'killasgroup', value: 'true' });
  for (const [key, setting] of options) settings.set(key, setting);
  if (own !== undefined && defaults.version !== undefined) {
    const keepsDirectory = !options.has('directory');
    settings.set('command', absoluteCommand(own, defaults.version, keepsDirectory, warnings));
  }
  if (defaults.dataDirectory !== undefined)
    settings.set('environment', withDataDirectory(options.get('environment'), defaults.dataDirectory));
  return [...settings.values()];
}

function defaultOptions(app: string, defaults: ProgramDefaults): [string, string][] {
  const options: [string, string][] = [
    ['redirect_stderr', 'true'],
    ['stdout_logfile_maxbytes', '200KB'],
    ['stdout_logfile_backups', '1'],
    ['stdout_logfile', `${escapePercent(defaults.logDirectory)}/${app}.log`],
  ];
  if (defaults.user !== undefined) options.push(['user', defaults.user]);
  if (defaults.directory !== undefined) options.push(['directory', escapePercent(defaults.directory)]);
  return options;
}

/** supervisord looks a command up in its own working directory, not in the program's, so `./run.sh` never starts. */
function absoluteCommand(
  setting: Required<ProgramSetting>,
  version: VersionFiles,
  runsInData: boolean,
  warnings: ProgramWarning[],
): Required<ProgramSetting> {
  const { value, words } = versionCommand(setting.value, version, runsInData);
  const { line } = setting;
  if (value !== setting.value) {
    const message = `line ${line}: './...' in command taken as a file of the version's directory; supervisord has no such rule`;
    warnings.push({ kind: 'relative-command', line, message });
  }
  for (const word of words) {
    const message = `line ${line}: command names '${word}', a file of this version, without './'; the program runs in its data directory, where there is no such file: write './${word}'`;
    warnings.push({ kind: 'version-file', line, message });
  }
  return { ...setting, value };
}

/** The app's own pairs come last, so that they prevail. */
function withDataDirectory(own: ProgramSetting | undefined, dataDirectory: string): ProgramSetting {
  const pair = dataDirectoryPair(dataDirectory);
  if (own === undefined || own.value === '') return { key: 'environment', value: pair };
  return { ...own, value: `${pair},${own.value}` };
}

function invalid(app: string, found: string): GweError {
  return new GweError('SUPERVISOR_PROGRAM_INVALID', `cannot use supervisor.conf of '${app}': ${found}`);
}
