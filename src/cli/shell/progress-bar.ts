/** How far an update is: a bar on a terminal, a line for each step otherwise. Both on stderr. */
import cliProgress from 'cli-progress';
import type { Step } from '../../agent/run/progress.ts';
import { KEYS_APP_NAME } from '../../artifact/name.ts';
import type { Logger } from '../../base/log.ts';
import type { CommandIo } from './command.ts';
import { warningLog } from './open-gateway.ts';
import { createPace } from './pace.ts';

/** The states that the update core logs, in the order in which they come. */
const STEPS: Readonly<Record<string, string>> = {
  'update.downloading': 'reading',
  'update.verified': 'unpacking',
  'update.staged': 'checking',
  'update.promoted': 'checking',
  'update.installing': 'running install.sh',
  'update.activating': 'starting',
  'update.probing': 'watching it run',
  'update.committed': 'done',
};
/** Installing a set of keys runs and starts nothing. */
const KEY_SET_STEPS: Readonly<Record<string, string>> = {
  'update.installing': 'taking over the keys',
  'update.activating': 'taking over the keys',
  'update.probing': 'taking over the keys',
};
const OTHER_STEPS: Readonly<Record<string, string>> = {
  'update.rolling-back': 'going back',
  'update.resume': 'finishing an earlier update',
};
const NAME_COLUMNS = 22;

interface Progress {
  /** To be given to the update: its events move the bar. */
  log: Logger;
  /** Called with what is counted in bytes: the bar moves within its step, with speed and time left. */
  move(step: Step): void;
  end(): void;
}

/** `isQuiet` shows nothing but warnings: for output that a program reads. */
export function openProgress(io: CommandIo, name: string, isQuiet: boolean): Progress {
  const show: View = isQuiet
    ? { step: () => undefined, move: () => undefined, end: () => undefined }
    : openView(io, name);
  const isKeySet = name.startsWith(`${KEYS_APP_NAME} `);
  // Warnings would tear the bar apart: they come after it.
  const held: string[] = [];
  const warnings = warningLog({ ...io, stderr: (text) => void held.push(text) });
  const see = (event: string): void => {
    const position = Object.keys(STEPS).indexOf(event);
    const own = isKeySet ? KEY_SET_STEPS[event] : undefined;
    const label = own ?? STEPS[event] ?? OTHER_STEPS[event];
    if (label !== undefined) show.step(position === -1 ? undefined : position + 1, label);
  };
  const log: Logger = {
    debug: () => undefined,
    info: (event) => see(event),
    warn(event, fields, message) {
      see(event);
      warnings.warn(event, fields, message);
    },
    error: (event, fields, message) => warnings.error(event, fields, message),
    with: () => log,
  };
  return {
    log,
    move: ({ doneBytes, totalBytes }) => show.move(doneBytes, totalBytes),
    end() {
      show.end();
      io.stderr(held.splice(0).join(''));
    },
  };
}

/** How far something is that is counted in bytes: a bar on a terminal, nothing otherwise. */
interface Meter {
  move(done: number, total: number): void;
  end(): void;
}

export function openMeter(io: CommandIo, name: string, isQuiet: boolean): Meter {
  if (isQuiet || io.terminal === undefined || io.env.TERM === 'dumb')
    return { move: () => undefined, end: () => undefined };
  const bar = openBar(io.terminal, '{name} [{bar}] {percentage}% {pace}');
  const pace = createPace(io.clock);
  let isStarted = false;
  return {
    move(done, total) {
      if (!isStarted) bar.start(total, 0, { name, pace: '' });
      isStarted = true;
      bar.update(Math.min(done, total), { pace: pace(done, total) });
    },
    end() {
      if (isStarted) bar.stop();
    },
  };
}

function openBar(stream: NodeJS.WritableStream, format: string): cliProgress.SingleBar {
  return new cliProgress.SingleBar({
    stream,
    format,
    barsize: 16,
    barCompleteChar: '=',
    barIncompleteChar: ' ',
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false,
  });
}

interface View {
  /** `position` from 1 to the number of steps; undefined keeps the bar where it is. */
  step(position: number | undefined, label: string): void;
  /** Within the step. */
  move(doneBytes: number, totalBytes: number): void;
  end(): void;
}

function openView(io: CommandIo, name: string): View {
  if (io.terminal === undefined || io.env.TERM === 'dumb') {
    let last = '';
    return {
      step(_position, label) {
        if (label !== last) io.stderr(`${name}: ${label}\n`);
        last = label;
      },
      move: () => undefined,
      end: () => undefined,
    };
  }
  const bar = openBar(io.terminal, '{name} [{bar}] {percentage}% {label}');
  const shown = name.length <= NAME_COLUMNS ? name : `${name.slice(0, NAME_COLUMNS - 1)}\u2026`;
  bar.start(Object.keys(STEPS).length, 0, { name: shown, label: 'waiting' });
  let [at, shownLabel, pace] = [0, '', createPace(io.clock)];
  return {
    step(position, label) {
      [at, shownLabel, pace] = [position ?? at, label, createPace(io.clock)];
      bar.update(at, { label });
    },
    move(doneBytes, totalBytes) {
      const label = `${shownLabel} ${pace(doneBytes, totalBytes)}`;
      bar.update(at + Math.min(1, doneBytes / Math.max(1, totalBytes)), { label });
    },
    end: () => bar.stop(),
  };
}
