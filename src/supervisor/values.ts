/** What each option of a program entry may hold: never more than supervisord 4.2.5 reads, sometimes less. */

/** What is wrong with a value, or `undefined` if it is fine. */
type ValueFault = { expected: string; remedy: string } | undefined;

type ValueCheck = (value: string) => ValueFault;

/** Python turns a deadline into a float: bigger numbers stop supervisord's main loop, not just its parser. */
const LARGEST = 2_147_483_647;

const SIGNALS = new Set(
  (
    'HUP INT QUIT ILL TRAP ABRT IOT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM CHLD CLD CONT STOP TSTP TTIN TTOU ' +
    'URG XCPU XFSZ VTALRM PROF WINCH IO POLL PWR SYS'
  ).split(' '),
);

function integer(lowest: number, highest: number): ValueCheck {
  return (value) => {
    const fine = /^[+-]?\d{1,10}$/.test(value) && Number(value) >= lowest && Number(value) <= highest;
    return fine
      ? undefined
      : { expected: `a whole number from ${lowest} to ${highest}`, remedy: 'write digits alone, no unit' };
  };
}

const boolean: ValueCheck = (value) =>
  readBoolean(value) === undefined
    ? { expected: 'true or false', remedy: 'write true or false (yes, no, on, off, 1, 0 work too)' }
    : undefined;

const autoRestart: ValueCheck = (value) =>
  value.toLowerCase() === 'unexpected' || readBoolean(value) !== undefined
    ? undefined
    : { expected: 'true, false or unexpected', remedy: 'write one of these' };

const byteSize: ValueCheck = (value) =>
  /^\d{1,9}\s?(?:[kmg]b)?$/i.test(value)
    ? undefined
    : {
        expected: 'a size such as 200KB, 5MB or 0',
        remedy: 'write digits, then KB, MB, GB or nothing for bytes',
      };

const signal: ValueCheck = (value) => {
  const name = value.toUpperCase().replace(/^SIG/, '');
  const number = /^\d{1,2}$/.test(value) ? Number(value) : 0;
  return SIGNALS.has(name) || (number >= 1 && number <= 31 && number !== 16)
    ? undefined
    : { expected: 'a signal', remedy: 'write TERM, INT, HUP, QUIT, KILL, USR1 or USR2' };
};

const exitCodes: ValueCheck = (value) =>
  value === '' || value.split(',').every((part) => /^\d{1,3}$/.test(part.trim()) && Number(part) <= 255)
    ? undefined
    : { expected: 'exit statuses from 0 to 255, separated by commas', remedy: 'write them as in 0,2' };

const umask: ValueCheck = (value) =>
  /^0?[0-7]{1,3}$/.test(value) ? undefined : { expected: 'an octal mask', remedy: 'write it as in 022' };

/** Options that hold neither paths nor text: no `%` in them, and their check. */
export const TYPED_OPTIONS: Readonly<Record<string, ValueCheck>> = {
  priority: integer(-LARGEST, LARGEST),
  autostart: boolean,
  autorestart: autoRestart,
  startsecs: integer(0, LARGEST),
  startretries: integer(0, LARGEST),
  stopsignal: signal,
  stopwaitsecs: integer(0, LARGEST),
  stopasgroup: boolean,
  killasgroup: boolean,
  exitcodes: exitCodes,
  redirect_stderr: boolean,
  numprocs: integer(1, 100),
  numprocs_start: integer(0, 1_000_000),
  stdout_capture_maxbytes: byteSize,
  stderr_capture_maxbytes: byteSize,
  stdout_events_enabled: boolean,
  stderr_events_enabled: boolean,
  stdout_logfile_maxbytes: byteSize,
  stderr_logfile_maxbytes: byteSize,
  stdout_logfile_backups: integer(0, 1000),
  stderr_logfile_backups: integer(0, 1000),
  stdout_syslog: boolean,
  stderr_syslog: boolean,
  umask,
};

/** Options that hold text or paths and are expanded by supervisord. */
const TEXT_OPTIONS: readonly string[] = [
  'command',
  'process_name',
  'directory',
  'environment',
  'user',
  'serverurl',
  'stdout_logfile',
  'stderr_logfile',
];

/** Whether supervisord reads option `key` of a program at all. */
export function isKnownOption(key: string): boolean {
  return Object.hasOwn(TYPED_OPTIONS, key) || TEXT_OPTIONS.includes(key);
}

/** supervisord's truth values, or `undefined` for anything else. */
export function readBoolean(value: string): boolean | undefined {
  if (/^(?:yes|true|on|1)$/i.test(value)) return true;
  return /^(?:no|false|off|0)$/i.test(value) ? false : undefined;
}

/**
 * The words of a command as a POSIX shell would split them (Python's shlex), or `undefined` if a quote is left open.
 */
export function splitCommand(command: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < command.length; at++) {
    const char = command.charAt(at);
    if (quote === '' && /\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (char === quote) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) {
      quote = char;
      word ??= '';
    } else if (char === '\\' && quote !== "'") {
      if (++at >= command.length) return undefined;
      const next = command.charAt(at);
      word = (word ?? '') + (quote === '"' && !/["\\]/.test(next) ? `\\${next}` : next);
    } else word = (word ?? '') + char;
  }
  if (quote !== '') return undefined;
  if (word !== undefined) words.push(word);
  return words;
}

const PAIR = /\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_/.+\-():]+))\s*(,|$)/y;

/** The pairs of `KEY=value,KEY2="value 2"`, or the rest of the text from where it stops being that. */
export function readPairs(text: string): { pairs: Map<string, string> } | { stuckAt: string } {
  const pairs = new Map<string, string>();
  let at = 0;
  while (text.slice(at).trim() !== '') {
    PAIR.lastIndex = at;
    const match = PAIR.exec(text);
    if (match?.[1] === undefined) return { stuckAt: text.slice(at).trim().slice(0, 40) };
    pairs.set(match[1], match[2] ?? match[3] ?? match[4] ?? '');
    at = PAIR.lastIndex;
  }
  return { pairs };
}
