/** Whether a command may be installed now: by its own time and window, and by the gateway's `update_window`. */
import { isOpen, nextOpening, parseWindows, renderWindows, type Windows } from '../../base/time/windows.ts';
import { type Command, type CommandStore, createCommandStore, readCommands } from '../../store/command.ts';
import type { AgentContext } from './context.ts';

export interface CommandWait {
  /** In words, for the report. */
  reason: string;
  /** Unix seconds; absent where no time is known. */
  untilS?: number;
}

type Timed = Pick<Command, 'notBefore' | 'window'>;
type Context = Pick<AgentContext, 'clock' | 'clockFloor' | 'settings'>;

/** A timer may be early, and a second begins when it is over. */
const LATE_MS = 250;
/** Two windows that never open together are found out after so many looks. */
const MOST_LOOKS = 50;

/** What it waits for, or `undefined` where it may be installed now. Urgent ones do not wait for `update_window`. */
export function commandWait(context: Context, command: Timed, isUrgent: boolean): CommandWait | undefined {
  const { notBefore = 0 } = command;
  const windows = windowsOf(context, command, isUrgent);
  if (notBefore === 0 && windows.length === 0) return undefined;
  if (context.clockFloor.isBelow())
    return { reason: 'waits for a clock that is right: it is to be installed at a certain time' };
  const nowS = Math.floor(context.clock.wallMs() / 1000);
  if (notBefore <= nowS && windows.every(([, window]) => isOpen(window, nowS))) return undefined;
  const untilS = nextTime(Math.max(nowS, notBefore), windows);
  const named = windows.map(([name, window]) => `${name} ${renderWindows(window)}`).join(' and ');
  if (untilS === undefined) return { reason: `waits: ${named} are never open at the same time` };
  const at = `${new Date(untilS * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return { reason: `fetched, and installed at ${at}${named === '' ? '' : ` (${named})`}`, untilS };
}

function windowsOf(
  { settings }: Context,
  { window = '' }: Timed,
  isUrgent: boolean,
): (readonly [name: string, windows: Windows])[] {
  const texts = [
    ['window', window],
    ['update_window', isUrgent ? '' : settings().updateWindow],
  ] as const;
  return texts.flatMap(([name, text]): (readonly [string, Windows])[] => {
    const parsed = text === '' ? undefined : parseWindows(text);
    return parsed !== undefined && 'windows' in parsed ? [[name, parsed.windows]] : [];
  });
}

/** The first moment from `fromS` on at which all are open. */
function nextTime(fromS: number, windows: readonly (readonly [string, Windows])[]): number | undefined {
  let at = fromS;
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    const before = at;
    for (const [, window] of windows) {
      const next = nextOpening(window, at);
      if (next === undefined) return undefined;
      at = next;
    }
    if (at === before) return at;
  }
  return undefined;
}

/** Milliseconds until the command that waits on this gateway is due; `undefined` where none waits for a known time. */
export function commandDueInMs(
  context: Context & Pick<AgentContext, 'layout'>,
  commands: Pick<CommandStore, 'read'> = createCommandStore(context.layout.command),
): number | undefined {
  const { current } = readCommands(commands);
  const entry = current?.entries[current.next];
  if (current === undefined || entry === undefined || entry.log !== undefined) return undefined;
  const untilS = commandWait(context, current, entry.urgent === true)?.untilS;
  return untilS === undefined ? undefined : Math.max(0, untilS * 1000 - context.clock.wallMs()) + LATE_MS;
}
