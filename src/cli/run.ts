/** Runs the agent in the foreground, as supervisord expects it. */
import { runAgent } from '../agent/agent.ts';
import type { ProcessControl } from '../agent/handover.ts';
import { WOKEN_VARIABLE } from '../agent/idle-script.ts';
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

/** The log of one run, on stderr, by the level and form of Engine.config. */
export function openLog(io: CommandIo, layout: Layout): Logger {
  return createLogger({ ...logForm(layout), clock: io.clock, write: io.stderr });
}

function logForm(layout: Layout): Pick<LoggerOptions, 'level' | 'format'> {
  const settings = loadEngineConfig(layout.engineConfig).values;
  return {
    level: LEVELS[settings.debugLevel] ?? 'info',
    format: settings.logFormat === 'json' ? 'json' : 'text',
  };
}
