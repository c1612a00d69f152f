/**
 * Whether a command of the platform may be carried out here: who signed it, for how long, and whether it has been
 * carried out already (src/protocol/README.md, "Signed commands"). Without `require_signed_commands` every one may,
 * and nothing is read or written.
 */
import {
  commandRefusal,
  decodeSignedCommand,
  type SignedCommand,
  signedDigest,
  signerRefusal,
} from '../../artifact/manifest/signed-command.ts';
import { matchArtifactName } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { type Command, type CommandEntry, createCommandStore } from '../../store/command.ts';
import { createCommandCounters } from '../../store/command-counters.ts';
import { readGatewayKeys } from '../../store/gateway-keys.ts';
import type { Transaction } from '../../update/journal.ts';
import type { AgentContext } from './context.ts';
import { resolveSerial } from './identity.ts';

export interface CommandRefusal {
  code: 'COMMAND_UNTRUSTED' | 'COMMAND_STALE';
  reason: string;
}

type Places = Pick<AgentContext, 'layout' | 'settings'>;
type Context = Places & Pick<AgentContext, 'clock' | 'clockFloor' | 'device'>;

/** What a gateway without counters takes at most: it cannot know what was carried out before. */
const LONGEST_WITHOUT_COUNTERS_S = 86_400;

const REMEDY = "sign it with 'gwe sign-command' and send it again";

/** Of a text that has just been read. Throws STORE_IO where counters or keys cannot be read. */
export function judgeCommand(
  context: Context,
  text: string,
): Pick<Command, 'signed'> & { refusal?: CommandRefusal } {
  if (!context.settings().requireSignedCommands) return {};
  const decoded = decodeSignedCommand(text);
  if (decoded.kind === 'unsigned') return { refusal: untrusted('it is not signed') };
  if (decoded.kind === 'bad') return { refusal: untrusted(decoded.reason) };
  const { command } = decoded;
  const to = { product: context.device().model, serial: serialOf(context) };
  const reason = commandRefusal(command, to, readGatewayKeys(context.layout).keys);
  if (reason !== undefined) return { refusal: untrusted(reason) };
  const digest = signedDigest(command, to);
  const { by, counter, until } = command.signed;
  const refusal = pastRefusal(context, until) ?? replayRefusal(context, command, digest);
  return refusal === undefined ? { signed: { by, counter, until, digest } } : { refusal };
}

function serialOf({ device, layout }: Pick<AgentContext, 'device' | 'layout'>): string {
  return resolveSerial(device(), layout.root).serial;
}

/** Why a command that was taken over may not go on to install: time has passed, and keys may have changed, since. */
function presentRefusal(
  context: Context,
  { signed, entries }: Pick<Command, 'signed' | 'entries'>,
): CommandRefusal | undefined {
  if (!context.settings().requireSignedCommands) return undefined;
  if (signed === undefined) return untrusted('it is not signed, and signatures are required by now');
  const to = { product: context.device().model };
  const reason = signerRefusal(readGatewayKeys(context.layout).keys, signed.by, to, entries.map(appOf));
  return reason === undefined ? pastRefusal(context, signed.until) : untrusted(reason);
}

/** The same for the command of a list of entries, of which those with a problem are reported anyway. */
export function refusalOfRest(context: Context, command: Command): CommandRefusal | undefined {
  const entry = command.entries[command.next];
  const hasBegun = command.together === 'installing' || command.together === 'taking-back';
  return entry === undefined || entry.problem !== undefined || hasBegun
    ? undefined
    : presentRefusal(context, command);
}

/** Right before anything is touched. Throws COMMAND_UNTRUSTED, COMMAND_STALE. */
export function assertCommandStands(context: Context, transaction: Transaction): void {
  const { source, commandDigest, isTogether, id, contentId } = transaction;
  const isOwn = source.kind !== 'content' || commandDigest === undefined || isTogether === true;
  if (isOwn || !context.settings().requireSignedCommands) return;
  const { current } = createCommandStore(context.layout.command).read();
  const isItsOwn = current?.digest === commandDigest && id.startsWith(`${current.id}-`);
  const refusal =
    isItsOwn && current !== undefined
      ? presentRefusal(context, current)
      : untrusted('the command that it belongs to is gone');
  if (refusal !== undefined)
    throw new GweError(refusal.code, `cannot install '${contentId}': ${refusal.reason}`);
}

/** By the clock or the latest time that is certain, whichever is later. */
function nowMs({ clock, clockFloor }: Pick<AgentContext, 'clock' | 'clockFloor'>): number {
  return Math.floor(Math.max(clockFloor.floorMs(), clock.wallMs()));
}

function nowS(context: Pick<AgentContext, 'clock' | 'clockFloor'>): number {
  return Math.floor(nowMs(context) / 1000);
}

function pastRefusal(context: Context, until: number): CommandRefusal | undefined {
  const now = nowS(context);
  if (until > now) return undefined;
  return stale(`it was to be carried out before ${isoTime(until)}, and it is ${isoTime(now)} or later`);
}

function replayRefusal(
  context: Context,
  { signed: { by, counter, until } }: SignedCommand,
  digest: string,
): CommandRefusal | undefined {
  const counters = createCommandCounters(context.layout.commandCounters);
  const last = counters.read()?.get(by);
  if (last === undefined) {
    // Signed since the counters began: it cannot be among those that were lost with the ones before.
    const isNew = counters.read() !== undefined && counter >= counters.begunMs();
    if (isNew || until <= nowS(context) + LONGEST_WITHOUT_COUNTERS_S) return undefined;
    return stale(
      'this gateway has no counters of this signer (none of its commands came yet, or they are lost), and takes only ' +
        `one whose 'until' lies within a day; found ${isoTime(until)}`,
    );
  }
  if (counter > last.counter) return undefined;
  if (counter < last.counter)
    return stale(`its counter is ${counter}, and one of the same signer with ${last.counter} came before`);
  if (last.digest === digest && last.state === 'failed') return undefined;
  return stale(`its counter ${counter} was used before, and only what failed may be tried again`);
}

/** To be called before the first entry: from then on the command is not taken again. */
export function noteBegun(context: Context, command: Command): void {
  noteState(context, command, 'open');
}

/** To be called after the last one. */
export function noteEnded(context: Context, command: Command, isDone: boolean): void {
  noteState(context, command, isDone ? 'done' : 'failed');
}

function noteState(
  context: Context,
  { signed }: Pick<Command, 'signed'>,
  state: 'open' | 'done' | 'failed',
): void {
  if (signed === undefined) return;
  const { by, counter, digest } = signed;
  const counters = createCommandCounters(context.layout.commandCounters);
  counters.note(by, { counter, digest, state }, nowMs(context));
}

/** The highest counter of each signer, for `device_info`; `undefined` where signatures are not required. */
export function shownCounters({ layout, settings }: Places): Record<string, number> | undefined {
  if (!settings().requireSignedCommands) return undefined;
  const counters = createCommandCounters(layout.commandCounters).read() ?? new Map();
  return Object.fromEntries([...counters].map(([by, { counter }]) => [by, counter]));
}

function appOf({ contentId, log }: CommandEntry): string | undefined {
  return log === undefined ? matchArtifactName(contentId)?.name : log.app;
}

function untrusted(found: string): CommandRefusal {
  const reason = `cannot trust this command: ${found}, expected a signature by a key with 'powers: commands'; ${REMEDY}`;
  return { code: 'COMMAND_UNTRUSTED', reason };
}

function stale(found: string): CommandRefusal {
  return { code: 'COMMAND_STALE', reason: `cannot carry out this command: ${found}; ${REMEDY}` };
}

/** `2026-11-23T15:00:00Z`; the number where it is beyond all dates. */
function isoTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().replace('.000', '');
}
