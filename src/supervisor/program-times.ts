/** The deadlines that a program sets itself: an app that needs long to start or to end is given that, within bounds. */
import { GweError } from '../base/errors.ts';
import { iniValue, parseIni } from '../base/ini.ts';
import type { ProgramSetting } from './program.ts';

interface ProgramTimes {
  /** How long a process must be up to count as started. */
  startS: number;
  /** How long it may take to end before supervisord kills it. */
  stopWaitS: number;
}

const DEFAULTS = { startsecs: 1, stopwaitsecs: 10 } as const;

/** The times that the program entry `text` sets; supervisord's defaults for those it leaves out. */
export function programTimes(text: string): ProgramTimes {
  const document = parseIni(text);
  const section = document.sections.find(({ name }) => name.startsWith('program:'))?.name ?? '';
  const seconds = (key: keyof typeof DEFAULTS): number => {
    const value = Number(iniValue(document, section, key) ?? DEFAULTS[key]);
    return Number.isFinite(value) && value >= 0 ? value : DEFAULTS[key];
  };
  return { startS: seconds('startsecs'), stopWaitS: seconds('stopwaitsecs') };
}

/**
 * How long the program of the entry `text` may take to be up: the usual time, or what it needs itself and that
 * besides.
 */
export function startDeadlineS(text: string, usualS: number): number {
  const { startS } = programTimes(text);
  return startS > usualS ? startS + usualS : usualS;
}

/**
 * Throws SUPERVISOR_PROGRAM_INVALID where supervisor.conf sets more than `longestS`: an update that waited longer would
 * look like one that hangs. What it does not say is nobody's wish, however short `longestS` is.
 */
export function assertProgramTimes(
  app: string,
  text: string,
  settings: readonly ProgramSetting[],
  longestS: number,
): void {
  const { startS, stopWaitS } = programTimes(text);
  const wanted = new Map(Object.entries({ startsecs: startS, stopwaitsecs: stopWaitS }));
  const isTooLong = (key: string): boolean => (wanted.get(key) ?? 0) > longestS;
  const found = settings.find(({ key, line }) => line !== undefined && isTooLong(key));
  if (found === undefined) return;
  throw new GweError(
    'SUPERVISOR_PROGRAM_INVALID',
    `cannot use supervisor.conf of '${app}': line ${found.line}: ${found.key} is '${wanted.get(found.key)}', expected at most ${longestS}, ` +
      'the install_timeout of this gateway (set less, or raise that)',
  );
}
