/** One line per event on stderr; stdout carries only command results. */
import type { Clock } from './clock.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** `event` is a stable dotted name (`update.activate`), fit for grep and tests; durations in ms, sizes in bytes. */
export interface Logger {
  debug(event: string, fields: LogFields, message?: string): void;
  info(event: string, fields: LogFields, message?: string): void;
  warn(event: string, fields: LogFields, message?: string): void;
  error(event: string, fields: LogFields, message?: string): void;
  /** A logger that adds `fields` to every line. */
  with(fields: LogFields): Logger;
}

export interface LoggerOptions {
  /** The lowest level that is written; a function is called for each line. */
  level: LogLevel | (() => LogLevel);
  format: 'text' | 'json';
  clock: Pick<Clock, 'wallMs'>;
  write(line: string): void;
}

/** The text before and after the time in a line of `event`; two empty texts if the level is not logged. */
export function renderAround(
  options: Pick<LoggerOptions, 'level' | 'format'>,
  level: LogLevel,
  event: string,
): [before: string, after: string] {
  let text = '';
  const write = (line: string): void => {
    text = line.trimEnd();
  };
  createLogger({ ...options, clock: { wallMs: () => 0 }, write })[level](event, {});
  const [before = '', after = ''] = text.split(new Date(0).toISOString());
  return [before, after];
}

export function createLogger(options: LoggerOptions, base: LogFields = {}): Logger {
  const threshold = (): number =>
    LOG_LEVELS.indexOf(typeof options.level === 'function' ? options.level() : options.level);
  const emit = (level: LogLevel, event: string, fields: LogFields, message: string | undefined): void => {
    if (LOG_LEVELS.indexOf(level) < threshold()) return;
    const record = { ...base, ...fields };
    const time = new Date(options.clock.wallMs()).toISOString();
    const line: Line = { time, level, event, fields: record, message };
    options.write(options.format === 'json' ? renderJson(line) : renderText(line));
  };
  return {
    debug: (event, fields, message) => emit('debug', event, fields, message),
    info: (event, fields, message) => emit('info', event, fields, message),
    warn: (event, fields, message) => emit('warn', event, fields, message),
    error: (event, fields, message) => emit('error', event, fields, message),
    with: (fields) => createLogger(options, { ...base, ...fields }),
  };
}

interface Line {
  time: string;
  level: LogLevel;
  event: string;
  fields: LogFields;
  message: string | undefined;
}

function renderJson({ time, level, event, fields, message }: Line): string {
  return `${JSON.stringify({ time, level, event, ...fields, msg: message })}\n`;
}

function renderText({ time, level, event, fields, message }: Line): string {
  let line = `${time} ${level.toUpperCase().padEnd(5)} ${event}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${key}=${quoteIfNeeded(String(value))}`;
  }
  if (message !== undefined) line += ` ${oneLine(message)}`;
  return `${line}\n`;
}

function quoteIfNeeded(text: string): string {
  return /^[^\s"=\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text);
}

/** Outside text must not forge a second log line or move the cursor. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}
