/**
 * One contact with the platform: reports up, commands down, in a single hybrid request (src/protocol/README.md, "A
 * check-in"). Where that does not work the commands are asked for alone, in a small request, and the reports follow
 * one by one: whatever is refused or swallowed on the way, the gateway hears.
 */
import { describeError, GweError } from '../../base/errors.ts';
import { FETCH_ALIAS, INTERVAL_ALIAS } from '../../protocol/messages.ts';
import type { PendingReport } from '../../store/outbox.ts';
import type { AgentContext } from '../run/context.ts';
import { mayBeItsBody } from './body-fault.ts';
import { hasSendable, nextReport, removeDelivered, tickOff } from './next-report.ts';
import { sendOneByOne } from './one-by-one.ts';
import { gatherOutgoing, type Outgoing } from './outgoing.ts';
import type { CheckInParts } from './parts.ts';
import { sinceRead } from './poll-memory.ts';
import { clearTooLong, takeOver } from './take-over.ts';

export interface CheckInEnd {
  /** There is a command to work on. */
  hasWork: boolean;
  /** Another report waits, and may be sent at once. */
  hasMore: boolean;
  /** A trusted key is for release lists. */
  hasLister: boolean;
}

const COMMAND_ALIASES = [FETCH_ALIAS, INTERVAL_ALIAS] as const;

/** Sends what is due and takes over what is there. */
export async function checkIn(parts: CheckInParts): Promise<CheckInEnd> {
  const outgoing = await gatherOutgoing(parts);
  removeDelivered(parts);
  const heard = await hear(parts, outgoing).catch((error: unknown) => {
    outgoing.measure(false);
    throw error;
  });
  outgoing.measure(true);
  const { hasLister } = outgoing;
  if (heard === undefined) return { hasWork: false, hasMore: hasSendable(parts), hasLister };
  const taken = await takeOver(parts, heard.values);
  // A new command does not wait for reports to fail.
  let mayGoOn = !heard.isAlone || taken.isNew;
  if (!mayGoOn && !outgoing.isSilent) mayGoOn = await sendOneByOne(parts, outgoing);
  if (taken.problem !== undefined) throw taken.problem;
  const hasMore = mayGoOn && !outgoing.isSilent && hasSendable(parts);
  return { hasWork: taken.hasWork, hasMore, hasLister };
}

interface Heard {
  values: ReadonlyMap<string, string>;
  /** The reports are still to be sent. */
  isAlone: boolean;
}

/** The values of the command aliases. `undefined` for a command too long to be read: reported and cleared unread. */
async function hear(parts: CheckInParts, outgoing: Outgoing): Promise<Heard | undefined> {
  const { context, delivery } = parts;
  try {
    if (!delivery.isApart(context.clock.wallMs()) && !outgoing.hasTrial) {
      const values = await readTogether(parts, outgoing);
      if (values !== undefined) return { values, isAlone: false };
    }
    return { values: await readAlone(parts), isAlone: true };
  } catch (error) {
    if (!(error instanceof GweError) || error.code !== 'PROTOCOL_TOO_LARGE') throw error;
    if (await clearTooLong(parts, error)) return undefined;
    throw error;
  }
}

async function readAlone(parts: CheckInParts): Promise<ReadonlyMap<string, string>> {
  const values = await exchange(parts, []);
  parts.context.log.info('checkin.done', { reports: 'none' });
  return values;
}

/** With everything that is due, in one request. `undefined` where that does not work, and less may. */
async function readTogether(
  parts: CheckInParts,
  { reports, due, isSilent }: Outgoing,
): Promise<ReadonlyMap<string, string> | undefined> {
  const { context, memory, delivery } = parts;
  let pending: PendingReport | undefined;
  let isSmall = false;
  try {
    pending = isSilent ? undefined : await nextReport(parts);
    if (pending !== undefined && delivery.isSetAside(pending.key)) return undefined;
    isSmall = pending === undefined && due.length === 0;
    memory.isInDoubt = pending !== undefined;
    const values = await exchange(
      parts,
      pending === undefined ? due : [...due, [pending.alias, pending.value]],
    );
    if (!isSmall) delivery.workedTogether();
    noteSent(parts, { reports, due, pending });
    return values;
  } catch (error) {
    if (isSmall || !mayBeItsBody(error)) throw error;
    delivery.failedTogether(context.clock.wallMs());
    // If the platform names a time, gwe waits that long; the next check-in then begins with the commands.
    if (error.facts.retryAfterMs !== undefined) throw error;
    context.log.warn(
      'checkin.apart',
      { code: error.code },
      `${describeError(error)}; commands are read on their own, then reports are sent one by one`,
    );
    return undefined;
  }
}

function noteSent(
  parts: CheckInParts,
  sent: Pick<Outgoing, 'reports' | 'due'> & { pending: PendingReport | undefined },
): void {
  const { context, memory, delivery } = parts;
  const { reports, due, pending } = sent;
  if (pending !== undefined) tickOff(parts, pending);
  memory.isInDoubt = false;
  const aliases = due.map(([alias]) => alias);
  memory.sent(reports, aliases, context.clock.wallMs());
  for (const alias of aliases) delivery.passed(alias);
  context.log.info('checkin.done', { reports: aliases.join(',') || 'none', fetch_status: pending?.key });
}

async function exchange(
  parts: CheckInParts,
  writes: readonly (readonly [alias: string, value: string])[],
): Promise<ReadonlyMap<string, string>> {
  const { clock } = parts.context;
  const startedMs = clock.monotonicMs();
  const { values, isUndefined, dateS } = await parts.data.exchange([...writes], COMMAND_ALIASES);
  parts.polls.sinceS = sinceRead(dateS, clock.monotonicMs() - startedMs);
  if (isUndefined) tellUndefined(parts);
  return values;
}

/**
 * Some platforms answer 404 where an alias is not defined (one-platform.md §6.16): nothing to do, but an operator
 * should know.
 */
function tellUndefined({ context, memory }: CheckInParts): void {
  if (memory.hasToldUndefined) return;
  memory.hasToldUndefined = true;
  context.log.warn(
    'checkin.undefined',
    { aliases: COMMAND_ALIASES.join(',') },
    'the platform answers 404, so no command can arrive; define these as resources of the product (format: string)',
  );
}

export function logCheckInFailure(context: Pick<AgentContext, 'log'>, error: unknown): void {
  const code = error instanceof GweError ? error.code : 'bug';
  context.log.warn('checkin.failed', { code }, describeError(error));
}
