/** Runs the agent in the foreground, as supervisord expects it. */
import { runAgent } from '../../agent/agent.ts';
import type { ProcessControl } from '../../agent/idle/handover.ts';
import { WOKEN_VARIABLE } from '../../agent/idle/idle-script.ts';
import { protectionProblems } from '../../agent/run/protection.ts';
import { GweError } from '../../base/errors.ts';
import {
  createLogger,
  type Logger,
  type LoggerOptions,
  type LogLevel,
  renderAround,
} from '../../base/log.ts';
import { VERSION } from '../../base/version.ts';
import { loadEngineConfig, loadGatewayConfig } from '../../config/config-files.ts';
import type { EngineSettings } from '../../config/schema.ts';
import type { Layout } from '../../store/layout.ts';
import type { CommandIo } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';

/** The original's level names. */
const LEVELS: Readonly<Record<EngineSettings['debugLevel'], LogLevel>> = {
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
  /** The level of this run, whatever Engine.config says. */
  level: EngineSettings['debugLevel'] | undefined;
}

/** What of the configuration is not understood, and which keys are not usable: said once, at the start. */
function tellProblems(layout: Layout, log: Logger): void {
  const engine = loadEngineConfig(layout.engineConfig);
  for (const problem of [...loadGatewayConfig(layout.gatewayConfig).problems, ...engine.problems])
    log.warn('config.problem', {}, problem);
  for (const problem of protectionProblems({ layout, settings: () => engine.values }))
    log.error('trust.problem', {}, problem);
}

/** Until a signal, or for one pass; a pass that did not reach the platform is status 1. */
export async function runCommand(io: CommandIo, options: RunOptions): Promise<number> {
  const { layout, once } = options;
  const log = openLog(io, layout, options.level);
  // A run that continues has already logged them.
  const isWoken = io.env[WOKEN_VARIABLE] !== undefined;
  if (!isWoken) tellProblems(layout, log);
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

/**
 * The log of one run, on stderr, by the form of Engine.config and by its level at any time, unless the run has its
 * own.
 */
export function openLog(io: CommandIo, layout: Layout, own?: EngineSettings['debugLevel']): Logger {
  const { format, level } = logForm(layout);
  const shown = own === undefined ? followLevel(io, layout, level) : LEVELS[own];
  return createLogger({ format, level: shown, clock: io.clock, write: io.stderr });
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
      // The agent logs a file that cannot be read.
      if (!(error instanceof GweError)) throw error;
    }
    return level;
  };
}

function logForm(layout: Layout): { level: LogLevel; format: LoggerOptions['format'] } {
  const settings = loadEngineConfig(layout.engineConfig).values;
  return {
    level: LEVELS[settings.debugLevel],
    format: settings.logFormat,
  };
}
