/** Runs the agent in the foreground, as supervisord expects it. */
import { runAgent } from '../agent/agent.ts';
import type { ProcessControl } from '../agent/handover.ts';
import { WOKEN_VARIABLE } from '../agent/idle-script.ts';
import { GweError } from '../base/errors.ts';
import { createLogger, type Logger, type LoggerOptions, type LogLevel, renderAround } from '../base/log.ts';
import { VERSION } from '../base/version.ts';
import { loadEngineConfig, loadGatewayConfig } from '../config/files.ts';
import type { Layout } from '../store/layout.ts';
import type { CommandIo } from './command.ts';
import { EXIT } from './exit.ts';

/** The original's level names. */
const LEVELS: Readonly<Record<string, LogLevel>> = {
  DEBUG: 'debug',
  INFO: 'info',
  WARNING: 'warn',
  ERROR: 'error',
  CRITICAL: 'error',
};

export interface RunOptions {
  layout: Layout;
  once: boolean;
  control: ProcessControl;
}

/** Until a signal, or for one pass; a pass that did not reach the platform is status 1. */
export async function runCommand(io: CommandIo, options: RunOptions): Promise<number> {
  const { layout, once } = options;
  const log = openLog(io, layout);
  // A run that goes on has told them.
  const isWoken = io.env[WOKEN_VARIABLE] !== undefined;
  for (const problem of isWoken
    ? []
    : [
        ...loadGatewayConfig(layout.gatewayConfig).problems,
        ...loadEngineConfig(layout.engineConfig).problems,
      ]) {
    log.warn('config.problem', {}, problem);
  }
  const isGood = await runAgent({
    layout,
    log,
    env: io.env,
    gweVersion: VERSION,
    signal: io.signal,
    once,
    control: options.control,
    lastWords: renderAround(logForm(layout), 'info', 'agent.stop'),
  });
  return once && !isGood ? EXIT.failed : EXIT.ok;
}

/** The log of one run, on stderr, by the form of Engine.config and by its level at any time. */
export function openLog(io: CommandIo, layout: Layout): Logger {
  const { format, level } = logForm(layout);
  return createLogger({ format, level: followLevel(io, layout, level), clock: io.clock, write: io.stderr });
}

const LEVEL_LOOK_MS = 1000;

/** Looks at most once a second, and only when there is something to write: `gwe -d DEBUG` needs no restart. */
function followLevel(io: CommandIo, layout: Layout, first: LogLevel): () => LogLevel {
  let level = first;
  let lookedMs = io.clock.monotonicMs();
  return () => {
    if (io.clock.monotonicMs() - lookedMs < LEVEL_LOOK_MS) return level;
    lookedMs = io.clock.monotonicMs();
    try {
      level = logForm(layout).level;
    } catch (error) {
      // The agent tells of a file that cannot be read; this is its log.
      if (!(error instanceof GweError)) throw error;
    }
    return level;
  };
}

function logForm(layout: Layout): { level: LogLevel; format: LoggerOptions['format'] } {
  const settings = loadEngineConfig(layout.engineConfig).values;
  return {
    level: LEVELS[settings.debugLevel] ?? 'info',
    format: settings.logFormat === 'json' ? 'json' : 'text',
  };
}
