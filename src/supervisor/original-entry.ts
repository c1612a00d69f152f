/** Program entries as the original Gateway Engine wrote them (src/artifact/README.md). Pure. */
import { type IniEntry, parseIni } from '../base/ini.ts';

/** The options that it put into every entry, with what it put there where the app said nothing else. */
const DEFAULTS: Readonly<Record<string, string>> = {
  redirect_stderr: 'true',
  stdout_logfile_maxbytes: '200KB',
  stdout_logfile_backups: '1',
};

/** The options of `[program:APP]`, if that is all that `text` holds. */
export function soleProgram(app: string, text: string): IniEntry[] | undefined {
  const { sections, problems } = parseIni(text);
  const [first] = sections;
  return sections.length === 1 && problems.length === 0 && first?.name === `program:${app}`
    ? first.entries
    : undefined;
}

/** Whether it holds all of the original's options and its log: nobody writes just these by hand. */
export function isOriginalEntry(app: string, text: string): boolean {
  const entries = soleProgram(app, text);
  if (entries === undefined) return false;
  const optionOf = (key: string): string | undefined => entries.findLast((one) => one.key === key)?.value;
  return (
    Object.entries(DEFAULTS).every(([key, value]) => optionOf(key) === value) &&
    optionOf('stdout_logfile')?.endsWith(`/log/${app}.log`) === true
  );
}
