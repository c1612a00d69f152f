/** What the commands on a gateway share: its context, a log that people read, and patience for a running update. */
import { composeContext } from '../../agent/run/compose.ts';
import type { AgentContext } from '../../agent/run/context.ts';
import type { LockWait } from '../../agent/run/transaction-lock.ts';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import type { LogFields, Logger } from '../../base/log.ts';
import { VERSION } from '../../base/version.ts';
import type { Layout } from '../../store/layout.ts';
import type { CommandCall, CommandIo } from './command.ts';
import { nearestWord } from './parse.ts';
import { layoutOf } from './root.ts';

/** An install.sh may take an hour; whoever types a command would rather know than wait for it. */
const LOCK_WAIT_MS = 120_000;

/** The gateway of this call, as the agent sees it. */
export function openGateway(io: CommandIo, layout: Layout, log: Logger = warningLog(io)): AgentContext {
  return openUntil(io, layout, log, io.signal);
}

/** The same for an update: when its operator cancels it, undoing it needs supervisord as much as before. */
export function openForUpdate(io: CommandIo, layout: Layout, log: Logger = warningLog(io)): AgentContext {
  return openUntil(io, layout, log, new AbortController().signal);
}

function openUntil(io: CommandIo, layout: Layout, log: Logger, signal: AbortSignal): AgentContext {
  return composeContext({ layout, log, env: io.env, gweVersion: VERSION, signal, supervisorAttempts: 2 });
}

export function gatewayOf(call: CommandCall): AgentContext {
  return openGateway(call.io, layoutOf(call.io, call.options));
}

/** Warnings as plain sentences on stderr; the rest of the agent's log is not for a person at a terminal. */
export function warningLog(io: CommandIo): Logger {
  const say = (event: string, _fields: LogFields, message?: string): void => {
    if (!event.startsWith('update.')) io.stderr(`gwe: warning: ${message ?? event}\n`);
  };
  const quiet = (): void => undefined;
  const log: Logger = { debug: quiet, info: quiet, warn: say, error: say, with: () => log };
  return log;
}

/** Waits for an update that is under way, after saying so. */
export function patience(io: CommandIo): LockWait {
  return {
    waitMs: LOCK_WAIT_MS,
    signal: io.signal,
    onWait: (owner) =>
      io.stderr(
        `gwe: process ${owner.pid} is in the middle of an update; waiting up to ${LOCK_WAIT_MS / 1000} s\n`,
      ),
  };
}

/**
 * The app that the first argument names; gwe itself always is one. Throws USAGE_BAD_VALUE with the nearest one that is
 * installed.
 */
export function requireApp(call: CommandCall, context: Pick<AgentContext, 'installed'>): string {
  const given = call.positionals[0] ?? '';
  const names = Object.entries(context.installed.all())
    .filter(([, record]) => record.active !== undefined || record.previous !== undefined)
    .map(([name]) => name);
  if (names.includes(given) || given === RESERVED_APP_NAME) return given;
  const nearest = nearestWord(given, names);
  const hint =
    nearest !== undefined
      ? `did you mean '${nearest}'?`
      : names.length === 0
        ? 'no app is installed on this gateway'
        : `expected one of ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', ...' : ''}`;
  throw new GweError('USAGE_BAD_VALUE', `no app '${given.slice(0, 70)}' is installed: ${hint}`);
}
