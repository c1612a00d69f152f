import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { assertClaimable, lookAtSupervisor } from '../../agent/admission/supervisor-ready.ts';
import { noteNoWayBack } from '../../agent/admission/ways-back.ts';
import { assertScriptPlace } from '../../agent/effects/app-data.ts';
import { type CertificateState, checkCertificates } from '../../agent/operator/certificates.ts';
import { askPlatform, type PlatformFacts } from '../../agent/operator/platform-facts.ts';
import { type Expendable, findExpendable, wouldFitWithout } from '../../agent/preflight/make-room.ts';
import { waysLostBySet } from '../../agent/preflight/planned-key-set.ts';
import { type Preflight, preflight } from '../../agent/preflight/preflight.ts';
import { sizeByReading, UNKNOWN_SIZE, type UnpackedSize } from '../../agent/preflight/unpacked-size.ts';
import type { AgentContext } from '../../agent/run/context.ts';
import type { UpdateRequest } from '../../agent/run/update-request.ts';
import { requireLauncher } from '../../agent/self/self-update.ts';
import { KEYS_APP_NAME, parseArtifactName, RESERVED_APP_NAME } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import type { ContentApi } from '../../protocol/content-api.ts';
import { textOf } from '../../service/actions.ts';
import { isLauncher } from '../../service/launcher.ts';
import { heldLease } from '../../store/lease.ts';
import type { CommandCall } from '../shell/command.ts';
import { absolutePath } from '../shell/path.ts';
import { renderBytes } from '../shell/screen.ts';

/** Makes the plan of an update: asks and looks as the update would, and gathers what `gwe plan` shows. */

export interface Plan {
  request: UpdateRequest;
  found: Preflight;
  /** Why it would not be carried out. */
  refusal: GweError | undefined;
  certificates: CertificateState[];
  /** Where it was asked. */
  platform: PlatformFacts | undefined;
  /** Why a failed update could not be rolled back to the active version. */
  noWayBack: string | undefined;
  notes: string[];
}

export async function makePlan(call: CommandCall, context: AgentContext, given: string): Promise<Plan> {
  const request = requestFor(call, given);
  const { found, fault, platform } =
    request.source.kind === 'file'
      ? await planForFile(call, context, request)
      : await planForContent(call, context, request);
  const expendable = findExpendable(context, request.contentId);
  const makesRoom = wouldFitWithout(expendable, found);
  const supervisor = await askSupervisor(context, request, found);
  const noWayBack = noteLostWay(context, request, found);
  return {
    request,
    found,
    refusal:
      fault ??
      launcherFault(context, request) ??
      (makesRoom ? undefined : found.refusal) ??
      scriptPlaceFault(context, request) ??
      supervisor.fault,
    certificates: checkCertificates(context),
    platform,
    noWayBack,
    notes: [
      ...(noWayBack === undefined ? [] : [noWayBack]),
      ...(await keySetNotes(call, context, request)),
      ...takeNotes(context, request, found),
      ...supervisor.notes,
      ...(makesRoom ? [describeExpendable(expendable)] : []),
    ],
  };
}

/** Throws ARTIFACT_NAME for what names no app and version. */
function requestFor({ io }: CommandCall, given: string): UpdateRequest {
  const path = absolutePath(io, given);
  const isFile = given.includes('/') || existsSync(path);
  if (isFile && !existsSync(path))
    throw new GweError('STORE_IO', `cannot plan for '${path}': there is no such file`);
  const contentId = isFile ? basename(path) : given;
  const { name, version } = parseArtifactName(contentId);
  const source = isFile ? ({ kind: 'file', path } as const) : ({ kind: 'content' } as const);
  return { app: name, version, contentId, source };
}

/** A tarball that breaks a rule is a finding, not the end of the plan. */
async function planForFile(
  { io }: CommandCall,
  context: Pick<
    AgentContext,
    'layout' | 'clock' | 'log' | 'gweVersion' | 'settings' | 'installed' | 'supervisor' | 'clockFloor'
  >,
  request: UpdateRequest,
) {
  let fault: GweError | undefined;
  const readUnpacked = async (path: string): Promise<UnpackedSize> => {
    try {
      return await sizeByReading(context, { name: request.app, version: request.version }, path, io.signal);
    } catch (error) {
      if (!(error instanceof GweError) || !(error.isRejection || error.code.startsWith('SUPERVISOR_')))
        throw error;
      fault = error;
      return UNKNOWN_SIZE;
    }
  };
  return {
    found: await preflight(context, request, { signal: io.signal, readUnpacked }),
    fault,
    platform: undefined,
  };
}

async function planForContent({ io }: CommandCall, context: AgentContext, request: UpdateRequest) {
  const ask = (content: ContentApi): Promise<Preflight> =>
    preflight(context, request, { content, signal: io.signal });
  const { answer, platform } = await askPlatform(context, ask);
  return { found: answer, fault: undefined, platform };
}

function scriptPlaceFault(
  context: Pick<AgentContext, 'layout' | 'settings'>,
  { app }: UpdateRequest,
): GweError | undefined {
  try {
    assertScriptPlace(context, app);
    return undefined;
  } catch (error) {
    if (error instanceof GweError) return error;
    throw error;
  }
}

function launcherFault(context: Pick<AgentContext, 'layout'>, request: UpdateRequest): GweError | undefined {
  if (request.app !== RESERVED_APP_NAME) return undefined;
  try {
    requireLauncher(context);
    return undefined;
  } catch (error) {
    if (error instanceof GweError) return error;
    throw error;
  }
}

/** What supervisord and its files would say to it, by the looks that the update itself takes. */
async function askSupervisor(
  context: Pick<AgentContext, 'layout' | 'supervisor'>,
  { app }: UpdateRequest,
  found: Preflight,
): Promise<{ fault?: GweError; notes: string[] }> {
  const notes: string[] = [];
  try {
    const original = assertClaimable(context.layout, app);
    if (original !== undefined)
      notes.push(
        `version ${original.version} of the original Gateway Engine and its program entry would be taken over first`,
      );
    const effect = programEffect(found);
    if (app === RESERVED_APP_NAME || effect === 'none' || effect === 'unknown') return { notes };
    const use = { app, hasProgram: effect !== 'stop', replacesProgram: effect !== 'start' };
    const note = await lookAtSupervisor(context, { ...use, isTakenOver: original !== undefined });
    return { notes: note === undefined ? notes : [...notes, note] };
  } catch (error) {
    if (error instanceof GweError) return { fault: error, notes };
    throw error;
  }
}

function noteLostWay(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings'>,
  { app }: UpdateRequest,
  { wayBack }: Preflight,
): string | undefined {
  if (wayBack === undefined || app === KEYS_APP_NAME) return undefined;
  if (app === RESERVED_APP_NAME) return noteNoLauncher(context);
  return noteNoWayBack(context, { app, ...wayBack });
}

function noteNoLauncher({ layout }: Pick<AgentContext, 'layout'>): string | undefined {
  if (isLauncher(textOf(layout.launcher) ?? '')) return undefined;
  return `'${layout.launcher}' is not the launcher, so nothing would roll back to the previous version; 'gwe service install' puts it there`;
}

/** Nothing is known of a key set that has yet to be fetched. */
async function keySetNotes(
  { io }: CommandCall,
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>,
  { app, source }: UpdateRequest,
): Promise<string[]> {
  if (app !== KEYS_APP_NAME || source.kind !== 'file') return [];
  const lost = await waysLostBySet(context, source.path, io.signal);
  return lost.map((way) => `with these keys, ${way}`);
}

function takeNotes(
  context: Pick<AgentContext, 'layout' | 'log' | 'clock' | 'settings' | 'installed' | 'journal' | 'budget'>,
  request: UpdateRequest,
  found: Preflight,
): string[] {
  const lease = heldLease(context.layout, request.app, context.clock.wallMs());
  const open = openUpdate(context);
  const failed = context.installed
    .get(request.app)
    .refused.find((refusal) => refusal.digest === found.unpacked.digest);
  return [
    ...(open === undefined ? [] : [`an update is under way and comes first: ${open}`]),
    ...(lease === undefined
      ? []
      : [
          `'${lease.owner}' postpones it (${lease.reason}), for at most ${context.settings().maxDeferralS} s (max_deferral)`,
        ]),
    ...(failed === undefined ? [] : [`exactly these bytes failed before: ${failed.reason}`]),
    ...budgetNote(context, found.tarball.sizeBytes - found.tarball.haveBytes),
  ];
}

function budgetNote(context: Pick<AgentContext, 'budget'>, fetchBytes: number): string[] {
  const state = context.budget.state();
  if (state === undefined || context.budget.allows(fetchBytes, false)) return [];
  return [
    `it would wait for the data budget: ${fetchBytes} bytes to fetch, ${state.leftBytes} left until ${state.until}, ` +
      `${state.reserveBytes} of them in the reserve`,
  ];
}

function describeExpendable({ bytes }: Expendable): string {
  return `failed versions and interrupted downloads are removed first, to make room: ${renderBytes(bytes)}`;
}

function openUpdate(context: Pick<AgentContext, 'journal'>): string | undefined {
  try {
    const open = context.journal.read();
    return open === undefined || open.closed ? undefined : `${open.app} ${open.version} (${open.state})`;
  } catch (error) {
    if (error instanceof GweError) return undefined; // The agent puts an unreadable journal aside at its next start.
    throw error;
  }
}

type ProgramEffect = 'start' | 'restart' | 'stop' | 'none' | 'unknown';

/** What becomes of the app's program; a tarball that has not been read is taken to have one if the active one has. */
export function programEffect({ active, present, unpacked }: Preflight): ProgramEffect {
  const isRunning = active?.hasProgram === true;
  const willRun = present?.hasProgram ?? unpacked.hasProgram;
  if (willRun === undefined) return isRunning ? 'restart' : 'unknown';
  if (willRun) return isRunning ? 'restart' : 'start';
  return isRunning ? 'stop' : 'none';
}
