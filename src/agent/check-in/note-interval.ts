/** `update_interval` as read: in force from now on, stored, and to be cleared. */
import { describeError, isDiskFault } from '../../base/errors.ts';
import { saveEngineConfig } from '../../config/config-files.ts';
import { decodeInterval, INTERVAL_ALIAS, STATUS_ALIAS } from '../../protocol/messages.ts';
import { digestText, readCommands } from '../../store/command.ts';
import type { CheckInParts } from './parts.ts';
import { tellFailure } from './tell-unkept.ts';

/**
 * True if there is an interval to be cleared: it has been stored, or reported as unusable. Never throws because of a
 * disk.
 */
export async function noteInterval(parts: CheckInParts, text: string): Promise<boolean> {
  const topic = `interval:${digestText(text)}`;
  try {
    if (isStuck(parts, text) || text === '') return false;
    applyInterval(parts, text);
    parts.memory.toldWithoutDisk.delete(topic);
    return true;
  } catch (error) {
    if (!isDiskFault(error)) throw error;
    const { updateIntervalS } = parts.context.settings();
    const next = `the interval is ${updateIntervalS} s until gwe ends, and '${INTERVAL_ALIAS}' stays until it can be stored`;
    if (!parts.memory.toldWithoutDisk.has(topic))
      parts.context.log.warn(
        'config.not-stored',
        { key: INTERVAL_ALIAS, code: error.code },
        `${describeError(error)}; ${next}`,
      );
    await tellFailure(parts, topic, error, next);
    return false;
  }
}

/** Whether the platform goes on showing a text that was cleared. */
function isStuck({ commands }: CheckInParts, text: string): boolean {
  const state = readCommands(commands);
  const isSame = state.stuckInterval === digestText(text);
  if (state.stuckInterval !== undefined && !isSame) forgetStuck(commands);
  return isSame;
}

function forgetStuck(commands: CheckInParts['commands']): void {
  try {
    commands.write({ ...readCommands(commands), stuckInterval: undefined });
  } catch (error) {
    if (!isDiskFault(error)) throw error;
  }
}

/** An unusable value is reported and cleared like a usable one: left there it would be read for ever. */
function applyInterval({ context }: CheckInParts, text: string): void {
  const decoded = decodeInterval(text);
  const { heldInterval } = context;
  if ('problem' in decoded) {
    context.log.warn('config.interval', { found: text.slice(0, 40) }, decoded.problem);
    const info = {
      status: 'failure',
      reason: `${decoded.problem}; the interval stays ${context.settings().updateIntervalS}`,
    };
    context.outbox.put(context.newId(), STATUS_ALIAS, JSON.stringify(info));
    return;
  }
  const { updateIntervalS, maxIntervalS } = context.settings();
  // Whoever controls the platform for a moment must not silence the gateway for longer.
  const seconds = Math.min(decoded.seconds, maxIntervalS);
  if (seconds < decoded.seconds) tellCapped(context, decoded.seconds, seconds);
  if (seconds === updateIntervalS && !heldInterval.isHeld()) return;
  heldInterval.hold(seconds);
  saveEngineConfig(context.layout.engineConfig, { updateIntervalS: seconds });
  heldInterval.release();
  context.log.info('config.interval', { seconds });
}

function tellCapped(context: CheckInParts['context'], found: number, seconds: number): void {
  const reason = `update_interval ${found} is longer than max_interval of this gateway: ${seconds} s are used`;
  context.log.warn('config.interval', { found: String(found), seconds }, reason);
  context.outbox.put(context.newId(), STATUS_ALIAS, JSON.stringify({ status: 'capped', reason }));
}
