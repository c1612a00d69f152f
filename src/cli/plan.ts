/**
 * `gwe plan TARBALL|ID`: what an update would do, by the agent's own look at it; nothing is changed or fetched.
 *
 * `--json`: {version, app, appVersion, source: 'file'|'content', action: 'install'|'update'|'rerun', from, sha256,
 * refusal: {code, reason}, tarball: {sizeBytes, haveBytes, fetchBytes, requests, whole,
 * ways: {whole, chunks, patch, patchFrom}}, unpacked: {bytes, isExact, entries},
 * disk: [{path, neededBytes, reserveBytes, freeBytes, neededInodes, freeInodes}], program: {effect:
 * 'start'|'restart'|'stop'|'none'|'unknown'}, wayBack, clock: {now, floor, isBelow}, certificates: [{setting, file,
 * state, validFrom, validTo}], platform: {clockAhead, subject, issuer, validFrom, validTo}, notes}. Times are unix seconds; what is not known, or is not, is null. `refusal` is null
 * when the update would be carried out; exit status 1 otherwise.
 */
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { type CertificateState, checkCertificates } from '../agent/certificates.ts';
import type { AgentContext } from '../agent/context.ts';
import { heldLease } from '../agent/lease.ts';
import { type Measure, measureWhole, NOT_MEASURED } from '../agent/measure.ts';
import { askAndLook, type PlatformLook } from '../agent/platform-look.ts';
import { type Asked, type Preflight, preflight } from '../agent/preflight.ts';
import { requireLauncher } from '../agent/self-update.ts';
import type { Room } from '../agent/space.ts';
import { findSpare, type Spare, wouldFitWithout } from '../agent/spare.ts';
import { parseArtifactName, RESERVED_APP_NAME } from '../artifact/name.ts';
import { describeError, GweError } from '../base/errors.ts';
import type { ContentApi } from '../protocol/content.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';
import { gatewayOf } from './gateway.ts';
import { JSON_OPTION } from './options.ts';
import { printDocument, printLabelled, renderBytes, renderMoment } from './screen.ts';

export const planCommand: CommandSpec = {
  path: ['plan'],
  positionals: ['TARBALL|ID'],
  summary:
    'Show what an update would do and whether it can, without doing it: with a tarball of this machine, ' +
    'or the id of one in the content area (a file of that name comes first)',
  options: [JSON_OPTION],
  run: runPlan,
};

interface Plan {
  asked: Asked;
  found: Preflight;
  /** Why it would not be carried out. */
  refusal: GweError | undefined;
  certificates: CertificateState[];
  /** Where it was asked. */
  platform: PlatformLook | undefined;
  notes: string[];
}

async function runPlan(call: CommandCall): Promise<number> {
  const { io, options } = call;
  const context = gatewayOf(call);
  const plan = await makePlan(call, context, call.positionals[0] ?? '');
  if (options.has('json')) printDocument(io, renderPlan(context, plan));
  else for (const [label, text] of describePlan(context, plan)) printLabelled(io, label, text, LABEL_COLUMNS);
  return plan.refusal === undefined ? EXIT.ok : EXIT.failed;
}

async function makePlan(call: CommandCall, context: AgentContext, given: string): Promise<Plan> {
  const asked = askFor(call, given);
  const { found, fault, platform } =
    asked.source.kind === 'file'
      ? await lookAtFile(call, context, asked)
      : await lookAtContent(call, context, asked);
  const spare = findSpare(context, asked.contentId);
  const makesRoom = wouldFitWithout(spare, found);
  return {
    asked,
    found,
    refusal: fault ?? launcherFault(context, asked) ?? (makesRoom ? undefined : found.refusal),
    certificates: checkCertificates(context),
    platform,
    notes: [...takeNotes(context, asked, found), ...(makesRoom ? [describeSpare(spare)] : [])],
  };
}

/** Throws ARTIFACT_NAME for what names no app and version. */
function askFor({ io }: CommandCall, given: string): Asked {
  const path = resolve(io.cwd, given);
  const isFile = given.includes('/') || existsSync(path);
  if (isFile && !existsSync(path))
    throw new GweError('STORE_IO', `cannot plan for '${path}': there is no such file`);
  const contentId = isFile ? basename(path) : given;
  const { name, version } = parseArtifactName(contentId);
  const source = isFile ? ({ kind: 'file', path } as const) : ({ kind: 'content' } as const);
  return { app: name, version, contentId, source };
}

/** A tarball that breaks a rule is a finding, not the end of the plan. */
async function lookAtFile({ io }: CommandCall, context: AgentContext, asked: Asked) {
  let fault: GweError | undefined;
  const measure = async (path: string): Promise<Measure> => {
    try {
      return await measureWhole(context, { name: asked.app, version: asked.version }, path, io.signal);
    } catch (error) {
      if (!(error instanceof GweError) || !(error.isRejection || error.code.startsWith('SUPERVISOR_')))
        throw error;
      fault = error;
      return NOT_MEASURED;
    }
  };
  return {
    found: await preflight(context, undefined, asked, io.signal, measure),
    fault,
    platform: undefined,
  };
}

async function lookAtContent({ io }: CommandCall, context: AgentContext, asked: Asked) {
  const ask = (content: ContentApi): Promise<Preflight> => preflight(context, content, asked, io.signal);
  const { answer, platform } = await askAndLook(context, ask);
  return { found: answer, fault: undefined, platform };
}

function launcherFault(context: AgentContext, asked: Asked): GweError | undefined {
  if (asked.app !== RESERVED_APP_NAME) return undefined;
  try {
    requireLauncher(context);
    return undefined;
  } catch (error) {
    if (error instanceof GweError) return error;
    throw error;
  }
}

function takeNotes(context: AgentContext, asked: Asked, found: Preflight): string[] {
  const lease = heldLease(context.layout, asked.app, context.clock.wallMs());
  const open = openUpdate(context);
  const failed = context.installed
    .get(asked.app)
    .refused.find((refusal) => refusal.digest === found.measure.digest);
  return [
    ...(open === undefined ? [] : [`an update is under way and comes first: ${open}`]),
    ...(lease === undefined
      ? []
      : [
          `'${lease.owner}' puts it off (${lease.reason}), ${context.settings().maxDeferralS} s at the most (max_deferral)`,
        ]),
    ...(failed === undefined ? [] : [`these very bytes failed before: ${failed.reason}`]),
    ...budgetNote(context, found.tarball.sizeBytes - found.tarball.haveBytes),
  ];
}

function budgetNote(context: AgentContext, fetchBytes: number): string[] {
  const state = context.budget.state();
  if (state === undefined || context.budget.allows(fetchBytes, false)) return [];
  return [
    `it would wait for the data budget: ${fetchBytes} bytes to fetch, ${state.leftBytes} left until ${state.until}, ` +
      `${state.reserveBytes} of them reserve`,
  ];
}

function describeSpare({ bytes }: Spare): string {
  return `versions that failed and broken-off downloads are removed first, to make room: ${renderBytes(bytes)}`;
}

function openUpdate(context: AgentContext): string | undefined {
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
function programEffect({ active, present, measure }: Preflight): ProgramEffect {
  const isRunning = active?.hasProgram === true;
  const willRun = present?.hasProgram ?? measure.hasProgram;
  if (willRun === undefined) return isRunning ? 'restart' : 'unknown';
  if (willRun) return isRunning ? 'restart' : 'start';
  return isRunning ? 'stop' : 'none';
}

const LABEL_COLUMNS = 14;

function describePlan(context: AgentContext, plan: Plan): [label: string, text: string][] {
  const { asked, found, refusal, notes } = plan;
  return [
    ['app', `${asked.app} ${asked.version}`],
    ['action', describeAction(found)],
    ['fetch', describeFetch(asked, found)],
    ['unpacked', describeMeasure(found)],
    ...found.rooms.map((room): [string, string] => ['disk', describeRoom(room)]),
    ...found.rooms.map((room): [string, string] => ['inodes', describeInodes(room)]),
    ['program', describeProgram(asked, found)],
    ['way back', describeWayBack(found)],
    ['clock', describeClock(context)],
    ['certificates', describeCertificates(plan.certificates)],
    ...(plan.platform === undefined
      ? []
      : [['platform', describePlatform(plan.platform)] satisfies [string, string]]),
    ...notes.map((note): [string, string] => ['note', note]),
    ['verdict', refusal === undefined ? 'would be carried out' : `refused: ${describeError(refusal)}`],
  ];
}

function describeAction({ action, active }: Preflight): string {
  switch (action) {
    case 'install':
      return 'install; there is no version of it yet';
    case 'update':
      return `update from ${active?.version ?? 'none'}`;
    case 'rerun':
      return 'it is the active version: its install.sh runs again';
    case 'roll-back':
      return 'go back to the version before';
  }
}

function describeFetch(asked: Asked, found: Preflight): string {
  const { sizeBytes, haveBytes } = found.tarball;
  if (asked.source.kind === 'file') return `nothing: a file of this machine (${renderBytes(sizeBytes)})`;
  if (found.action === 'rerun') return 'nothing: it is unpacked already';
  const have = haveBytes === 0 ? '' : ` of ${renderBytes(sizeBytes)}, the rest is here already`;
  const requests = found.chunks === undefined ? '' : ` in ${requestsOf(found)} requests`;
  const whole = wholeReason(found);
  const patched = describePatched(found);
  return `${renderBytes(sizeBytes - haveBytes)}${requests}${have}${patched}${whole === undefined ? '' : `; ${whole}`}`;
}

function describePatched({ chunks }: Preflight): string {
  if (chunks?.patch === undefined) return '';
  const [byChunks, whole] = [chunks.chunkBytes, chunks.sizeBytes].map(renderBytes);
  return `; by a patch from ${chunks.patch.from} (${byChunks} by chunks, ${whole} as a whole)`;
}

/** Bytes that each way of fetching it would take, where it is known. */
function waysOf({ chunks, tarball }: Preflight): Record<string, number | string | null> {
  const patch = chunks?.patch;
  return {
    whole: tarball.sizeBytes,
    chunks: chunks?.chunkBytes ?? null,
    patch: patch === undefined ? null : (chunks?.fetchBytes ?? null),
    patchFrom: patch?.from ?? null,
  };
}

/** The first one tells what the others are for. */
function requestsOf({ action, tarball, chunks }: Preflight): number {
  if (chunks !== undefined) return 1 + chunks.plan.runs.length + (chunks.patch === undefined ? 0 : 1);
  return action === 'rerun' || tarball.sizeBytes === tarball.haveBytes ? 0 : 1;
}

/** Why it is not fetched in parts. */
function wholeReason({ look, chunks }: Preflight): string | undefined {
  return look?.kind === 'whole' ? `as a whole: ${look.reason}` : chunks?.wholesale;
}

function describeMeasure({ action, measure }: Preflight): string {
  const { unpackedBytes, isExact, entries } = measure;
  if (isExact) return `${renderBytes(unpackedBytes)} in ${entries} entries`;
  if (action === 'rerun') return 'it is already';
  return unpackedBytes === 0 ? 'not known before it is fetched' : `at least ${renderBytes(unpackedBytes)}`;
}

function describeRoom({ neededBytes, reserveBytes, freeBytes, path }: Room): string {
  const [needed, reserve, free] = [neededBytes, reserveBytes, freeBytes].map(renderBytes);
  return `needs ${needed} and a reserve of ${reserve}; ${free} free (${path})`;
}

function describeInodes({ neededInodes, freeInodes, path }: Room): string {
  if (freeInodes === undefined) return `not counted by this file system (${path})`;
  return `needs ${neededInodes}; ${freeInodes} free (${path})`;
}

function describeProgram({ app }: Asked, found: Preflight): string {
  switch (programEffect(found)) {
    case 'start':
      return `${app} is started`;
    case 'restart':
      return `${app} is restarted`;
    case 'stop':
      return `${app} is stopped: the new version has no supervisor.conf`;
    case 'none':
      return 'none: a one-off';
    case 'unknown':
      return `${app} is started, if there is a supervisor.conf in it`;
  }
}

function describeWayBack({ wayBack, action }: Preflight): string {
  if (wayBack !== undefined) return `to ${wayBack.version}, which stays on the gateway`;
  return action === 'rerun'
    ? 'none: there was no version before'
    : 'none: a failure would leave it not installed';
}

function describeClock({ clock, clockFloor }: AgentContext): string {
  const now = `${renderMoment(clock.wallMs())} UTC`;
  if (!clockFloor.isBelow()) return now;
  return `${now}, which cannot be: it is later than ${renderMoment(clockFloor.floorMs())}`;
}

function describeCertificates(certificates: readonly CertificateState[]): string {
  if (certificates.length === 0) return 'none configured besides the built-in ones';
  return certificates
    .map(({ setting, state, validToMs }) => {
      const until = validToMs === undefined ? '' : ` until ${renderMoment(validToMs).slice(0, 10)}`;
      return `${setting} ${state.replaceAll('-', ' ')}${state === 'valid' ? until : ''}`;
    })
    .join(', ');
}

function describePlatform({ aheadMs, tls }: PlatformLook): string {
  const seconds = Math.round((aheadMs ?? 0) / 1000);
  const clock =
    aheadMs === undefined ? '' : `, its clock ${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead'}`;
  if (tls === undefined) return `shows no certificate${clock}`;
  return `${tls.subject}, valid until ${renderMoment(tls.validToMs).slice(0, 10)}${clock}`;
}

function renderPlan(context: AgentContext, plan: Plan): Record<string, unknown> {
  const { asked, found, refusal, certificates, platform, notes } = plan;
  const { tarball, measure, rooms, active, wayBack, action } = found;
  const seconds = (ms: number | undefined): number | null =>
    ms === undefined ? null : Math.floor(ms / 1000);
  return {
    app: asked.app,
    appVersion: asked.version,
    source: asked.source.kind,
    action,
    from: active?.version ?? null,
    sha256: found.info?.digest?.algorithm === 'sha256' ? found.info.digest.hex : null,
    refusal: refusal === undefined ? null : { code: refusal.code, reason: describeError(refusal) },
    tarball: {
      ...tarball,
      fetchBytes: tarball.sizeBytes - tarball.haveBytes,
      requests: requestsOf(found),
      whole: wholeReason(found) ?? null,
      ways: waysOf(found),
    },
    unpacked: {
      bytes: measure.isExact || measure.unpackedBytes > 0 ? measure.unpackedBytes : null,
      isExact: measure.isExact,
      entries: measure.isExact ? measure.entries : null,
    },
    disk: rooms.map((room) => ({ ...room, freeInodes: room.freeInodes ?? null })),
    program: { effect: programEffect(found) },
    wayBack: wayBack?.version ?? null,
    clock: {
      now: seconds(context.clock.wallMs()),
      floor: seconds(context.clockFloor.floorMs()),
      isBelow: context.clockFloor.isBelow(),
    },
    certificates: certificates.map(({ validFromMs, validToMs, ...each }) => ({
      ...each,
      validFrom: seconds(validFromMs),
      validTo: seconds(validToMs),
    })),
    platform:
      platform === undefined
        ? null
        : {
            clockAhead: seconds(platform.aheadMs),
            subject: platform.tls?.subject ?? null,
            issuer: platform.tls?.issuer ?? null,
            validFrom: seconds(platform.tls?.validFromMs),
            validTo: seconds(platform.tls?.validToMs),
          },
    notes,
  };
}
