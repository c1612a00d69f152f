/** Weekly times in which something may be done, in a named zone; the zone's own rules say when clocks change. */

interface WeeklyRange {
  /** 1 for Monday to 7 for Sunday: the days on which it begins. */
  readonly days: readonly number[];
  /** `HH:MM`; where `to` is not after `from`, it ends on the next day. */
  readonly from: string;
  readonly to: string;
}

export interface Windows {
  /** IANA name, `UTC`, or `local` for that of the machine on which it is asked. */
  readonly zone: string;
  /** Always open where there is none. */
  readonly ranges: readonly WeeklyRange[];
}

export const ALWAYS_OPEN: Windows = { zone: 'UTC', ranges: [] };

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const DAY_MINUTES = 24 * 60;
const WEEK_MINUTES = 7 * DAY_MINUTES;
const MOST_TEXT_CHARS = 400;
const MOST_RANGES = 50;
const TIME = /^([01]\d|2[0-3]):[0-5]\d$/;

/** Says what is wrong with windows, or `undefined`. */
export function windowsProblem({ zone, ranges }: Windows): string | undefined {
  try {
    minutesOfWeek(zone);
  } catch {
    return `cannot use time zone '${zone.slice(0, 60)}': expected an IANA name such as Europe/Berlin, or UTC`;
  }
  const isTime = (text: string): boolean => TIME.test(text) || text === '24:00';
  const bad = ranges.find(
    ({ days, from, to }) =>
      !isTime(from) || !isTime(to) || days.length === 0 || days.some((day) => DAYS[day - 1] === undefined),
  );
  return bad === undefined
    ? undefined
    : `cannot use window '${bad.from}-${bad.to}': expected days 1 to 7 and HH:MM`;
}

/**
 * Windows as people write them: `01:00-05:00`, `Mon-Fri 22:00-04:00, Sat,Sun 00:00-24:00 Europe/Berlin`; without days on
 * all of them, without a zone in UTC. What cannot be read is said in one line.
 */
export function parseWindows(text: string): { windows: Windows } | { problem: string } {
  const problem = `cannot use window '${text.slice(0, 80)}': expected such as 'Mon-Fri 22:00-04:00 Europe/Berlin'`;
  const words = text.split(/[\s,;]+/).filter((word) => word !== '');
  if (text.length > MOST_TEXT_CHARS || words.length === 0) return { problem };
  const ranges: WeeklyRange[] = [];
  let zone = 'UTC';
  let days: number[] = [];
  let isAfterTime = false;
  for (const [index, word] of words.entries()) {
    const [, from = '', to = ''] = /^(\d\d:\d\d)-(\d\d:\d\d)$/.exec(word) ?? [];
    const named = daysOf(word);
    if (from !== '') ranges.push({ days: days.length === 0 ? ALL_DAYS : days, from, to });
    else if (named !== undefined) days = isAfterTime ? named : [...days, ...named];
    else if (index === words.length - 1) zone = word;
    else return { problem };
    isAfterTime = from !== '';
  }
  const isWhole = isAfterTime || zone !== 'UTC' || words.at(-1) === 'UTC';
  if (ranges.length === 0 || ranges.length > MOST_RANGES || !isWhole) return { problem };
  const windows = { zone, ranges };
  const wrong = windowsProblem(windows);
  return wrong === undefined ? { windows } : { problem: wrong };
}

const ALL_DAYS: readonly number[] = [1, 2, 3, 4, 5, 6, 7];

/** `Mon`, or `Fri-Mon` over the end of the week. */
function daysOf(word: string): number[] | undefined {
  const [, first = '', last = first] = /^([A-Za-z]{3})(?:-([A-Za-z]{3}))?$/.exec(word) ?? [];
  const numberOf = (name: string): number =>
    DAYS.findIndex((day) => day.toLowerCase() === name.toLowerCase()) + 1;
  const [from, to] = [numberOf(first), numberOf(last)];
  if (from === 0 || to === 0) return undefined;
  return ALL_DAYS.filter((day) => (from <= to ? day >= from && day <= to : day >= from || day <= to));
}

/** As `parseWindows` reads it. */
export function renderWindows({ zone, ranges }: Windows): string {
  const isDaily = ranges.every(({ days }) => days.length === ALL_DAYS.length);
  const each = ranges.map(({ days, from, to }) => {
    // A range without days of its own has those of the one before it.
    const names = isDaily ? '' : `${days.map((day) => DAYS[day - 1]).join(',')} `;
    return `${names}${from}-${to}`;
  });
  return `${each.join(', ')} ${zone}`;
}

/** Whether it is such a time at `nowS`, Unix seconds. */
export function isOpen(windows: Windows, nowS: number): boolean {
  return windows.ranges.length === 0 || isOpenAt(windows, minutesOfWeek(windows.zone)(nowS));
}

function isOpenAt({ ranges }: Windows, minute: number): boolean {
  return ranges.some(({ days, from, to }) => {
    const length = lengthOf(from, to);
    return days.some((day) => {
      const start = (day - 1) * DAY_MINUTES + minutesOf(from);
      return (minute - start + WEEK_MINUTES) % WEEK_MINUTES < length;
    });
  });
}

const STEP_S = 300;

/** Unix seconds, to five minutes, of the next moment at which they are open; `undefined` where none comes in 8 days. */
export function nextOpening(windows: Windows, nowS: number): number | undefined {
  if (windows.ranges.length === 0) return nowS;
  const minuteAt = minutesOfWeek(windows.zone);
  for (let at = nowS; at < nowS + 8 * 86_400; at = (Math.floor(at / STEP_S) + 1) * STEP_S)
    if (isOpenAt(windows, minuteAt(at))) return at;
  return undefined;
}

function minutesOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return hours * 60 + minutes;
}

function lengthOf(from: string, to: string): number {
  const length = minutesOf(to) - minutesOf(from);
  return length > 0 ? length : length + DAY_MINUTES;
}

/** Maps Unix seconds to the minute since Monday, 00:00. Throws RangeError for an unknown zone. */
function minutesOfWeek(zone: string): (nowS: number) => number {
  const format = new Intl.DateTimeFormat('en-GB', {
    ...(zone === 'local' ? {} : { timeZone: zone }),
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  return (nowS) => {
    const parts = new Map(
      format.formatToParts(new Date(nowS * 1000)).map(({ type, value }) => [type, value]),
    );
    const day = DAYS.indexOf(parts.get('weekday') ?? '');
    return day * DAY_MINUTES + Number(parts.get('hour')) * 60 + Number(parts.get('minute'));
  };
}
