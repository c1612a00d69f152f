/** Words of a `command` that mean files of the version, whose directory is not the program's working directory. Pure. */
import { splitCommand } from './values.ts';

/** The version that a command means by `./`. */
export interface VersionFiles {
  directory: string;
  /** Whether the version came with a file of this path, relative to its directory. */
  has(path: string): boolean;
}

/** A word that starts with `./`, also inside quotes and behind `=`; the first word of all is always one. */
const DOT_WORD = /(^|[\s"'=])\.\/([^\s"'`;|&<>()$]+)/g;
/** From here on `./` means another directory. */
const CHANGES_DIRECTORY = /(?:^|[\s"';&|(])cd\s/;

interface VersionCommand {
  /** The command with `./x` replaced by the version's `x`. */
  value: string;
  /** Words that name a file of the version without `./`. */
  words: string[];
}

/** With `runsInData` the program's working directory is gwe's choice, and relative words of the command are looked at too. */
export function versionCommand(
  command: string,
  { directory, has }: VersionFiles,
  runsInData: boolean,
): VersionCommand {
  const changed = CHANGES_DIRECTORY.exec(command)?.index ?? command.length;
  const value = command.replace(DOT_WORD, (match: string, before: string, path: string, at: number) => {
    const isMeant = at === 0 && before === '' ? true : runsInData && at < changed && has(path);
    return isMeant ? `${before}${escapePercent(directory)}/${path}` : match;
  });
  const words = runsInData ? (splitCommand(command) ?? []) : [];
  return { value, words: words.filter((word) => /^[^./-][^\s=]*$/.test(word) && has(word)) };
}

export function escapePercent(path: string): string {
  return path.replaceAll('%', '%%');
}
