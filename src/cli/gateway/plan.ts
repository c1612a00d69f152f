/**
 * `gwe plan TARBALL|ID`: what an update would do, by the same preflight as an update; nothing is changed or fetched.
 *
 * `--json`: {version, app, appVersion, source: 'file'|'content', action: 'install'|'update'|'rerun', from, sha256,
 * refusal: {code, reason}, tarball: {sizeBytes, haveBytes, fetchBytes, requests, whole,
 * ways: {whole, chunks, patch, patchFrom}}, unpacked: {bytes, isExact, entries},
 * disk: [{path, neededBytes, reserveBytes, freeBytes, neededInodes, freeInodes}], program: {effect:
 * 'start'|'restart'|'stop'|'none'|'unknown'}, wayBack, clock: {now, floor, isBelow}, certificates: [{setting, file,
 * state, validFrom, validTo}], platform: {clockAhead, subject, issuer, validFrom, validTo}, notes}. Times are unix
 * seconds; what is not known, or is not, is null. `refusal` is null
 * when the update would be carried out; exit status 1 otherwise.
 */
import type { CertificateState } from '../../agent/operator/certificates.ts';
import type { PlatformFacts } from '../../agent/operator/platform-facts.ts';
import type { Preflight } from '../../agent/preflight/preflight.ts';
import type { Room } from '../../agent/preflight/space.ts';
import type { AgentContext } from '../../agent/run/context.ts';
import type { UpdateRequest } from '../../agent/run/update-request.ts';
import { KEYS_APP_NAME, RESERVED_APP_NAME } from '../../artifact/name.ts';
import { describeError } from '../../base/errors.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { printDocument, printLabelled, renderBytes, renderMoment } from '../shell/screen.ts';
import { makePlan, type Plan, programEffect } from './make-plan.ts';

type Context = Pick<AgentContext, 'clock' | 'clockFloor'>;

export const planCommand: CommandSpec = {
  path: ['plan'],
  positionals: ['TARBALL|ID'],
  summary:
    'Show what an update would do and whether it can, without doing it: with a tarball on this machine, ' +
    'or the id of one in the content area (a file of that name comes first)',
  options: [JSON_OPTION],
  run: runPlan,
};

async function runPlan(call: CommandCall): Promise<number> {
  const { io, options } = call;
  const context = gatewayOf(call);
  const plan = await makePlan(call, context, call.positionals[0] ?? '');
  if (options.has('json')) printDocument(io, renderPlan(context, plan));
  else for (const [label, text] of describePlan(context, plan)) printLabelled(io, label, text, LABEL_COLUMNS);
  return plan.refusal === undefined ? EXIT.ok : EXIT.failed;
}

const LABEL_COLUMNS = 14;

function describePlan(context: Context, plan: Plan): [label: string, text: string][] {
  const { request, found, refusal, notes } = plan;
  return [
    ['app', `${request.app} ${request.version}`],
    ['action', describeAction(request, found)],
    ['fetch', describeFetch(request, found)],
    ['unpacked', describeUnpacked(found)],
    ...found.rooms.map((room): [string, string] => ['disk', describeRoom(room)]),
    ...found.rooms.map((room): [string, string] => ['inodes', describeInodes(room)]),
    ['program', describeProgram(request, found)],
    ['way back', describeWayBack(plan)],
    ['clock', describeClock(context)],
    ['certificates', describeCertificates(plan.certificates)],
    ...(plan.platform === undefined
      ? []
      : [['platform', describePlatform(plan.platform)] satisfies [string, string]]),
    ...notes.map((note): [string, string] => ['note', note]),
    ['verdict', refusal === undefined ? 'would be carried out' : `refused: ${describeError(refusal)}`],
  ];
}

function describeAction({ app }: UpdateRequest, { action, active }: Preflight): string {
  switch (action) {
    case 'install':
      return 'install; there is no version of it yet';
    case 'update':
      return `update from ${active?.version ?? 'none'}`;
    case 'rerun':
      return app === KEYS_APP_NAME
        ? 'it is the active set: nothing in it is run'
        : 'it is the active version: its install.sh runs again';
    case 'roll-back':
      return 'roll back to the previous version';
  }
}

function describeFetch(request: UpdateRequest, found: Preflight): string {
  const { sizeBytes, haveBytes } = found.tarball;
  if (request.source.kind === 'file') return `nothing: a file on this machine (${renderBytes(sizeBytes)})`;
  if (found.action === 'rerun') return 'nothing: it is already unpacked';
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

/** The first one says what the others are for. */
function requestsOf({ action, tarball, chunks }: Preflight): number {
  if (chunks !== undefined) return 1 + chunks.plan.runs.length + (chunks.patch === undefined ? 0 : 1);
  return action === 'rerun' || tarball.sizeBytes === tarball.haveBytes ? 0 : 1;
}

/** Why it is not fetched in parts. */
function wholeReason({ inspection, chunks }: Preflight): string | undefined {
  return inspection?.kind === 'whole' ? `as a whole: ${inspection.reason}` : chunks?.wholeReason;
}

function describeUnpacked({ action, unpacked }: Preflight): string {
  const { unpackedBytes, isExact, entries } = unpacked;
  if (isExact) return `${renderBytes(unpackedBytes)} in ${entries} entries`;
  if (action === 'rerun') return 'already unpacked';
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

function describeProgram({ app }: UpdateRequest, found: Preflight): string {
  if (app === RESERVED_APP_NAME)
    return 'gwe is tried beside the running one, then restarts into the new version; apps run on';
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
      return `${app} is started, if it has a supervisor.conf`;
  }
}

function describeWayBack({ request, found: { wayBack, action }, noWayBack }: Plan): string {
  if (wayBack !== undefined && noWayBack !== undefined)
    return `none: ${wayBack.version} stays on the gateway, but gwe could not roll back to it (see the note)`;
  if (wayBack !== undefined && request.app === RESERVED_APP_NAME)
    return `to ${wayBack.version}: by the launcher after three starts without a check-in, later by 'gwe rollback gwe'`;
  if (wayBack !== undefined) return `to ${wayBack.version}, which stays on the gateway`;
  return action === 'rerun'
    ? 'none: there was no version before'
    : 'none: a failure would leave it not installed';
}

function describeClock({ clock, clockFloor }: Context): string {
  const now = `${renderMoment(clock.wallMs())} UTC`;
  if (!clockFloor.isBelow()) return now;
  return `${now}, which is impossible: it is later than ${renderMoment(clockFloor.floorMs())}`;
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

function describePlatform({ aheadMs, tls }: PlatformFacts): string {
  const seconds = Math.round((aheadMs ?? 0) / 1000);
  const clock =
    aheadMs === undefined ? '' : `, its clock ${Math.abs(seconds)} s ${seconds < 0 ? 'behind' : 'ahead'}`;
  if (tls === undefined) return `shows no certificate${clock}`;
  return `${tls.subject}, valid until ${renderMoment(tls.validToMs).slice(0, 10)}${clock}`;
}

function renderPlan(context: Context, plan: Plan): Record<string, unknown> {
  const { request, found, refusal, certificates, platform, noWayBack, notes } = plan;
  const { tarball, unpacked, rooms, active, wayBack, action } = found;
  const seconds = (ms: number | undefined): number | null =>
    ms === undefined ? null : Math.floor(ms / 1000);
  return {
    app: request.app,
    appVersion: request.version,
    source: request.source.kind,
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
      bytes: unpacked.isExact || unpacked.unpackedBytes > 0 ? unpacked.unpackedBytes : null,
      isExact: unpacked.isExact,
      entries: unpacked.isExact ? unpacked.entries : null,
    },
    disk: rooms.map((room) => ({ ...room, freeInodes: room.freeInodes ?? null })),
    program: { effect: programEffect(found) },
    wayBack: noWayBack === undefined ? (wayBack?.version ?? null) : null,
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
