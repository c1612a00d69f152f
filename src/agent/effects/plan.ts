/** The first effect of an update: what is requested, what is here already, and whether there is room. */
import { existsSync } from 'node:fs';
import { adoptForUpdate } from '../../adopt/adopt-program.ts';
import { KEYS_APP_NAME, RESERVED_APP_NAME } from '../../artifact/name.ts';
import type { VersionRecord } from '../../artifact/record.ts';
import { describeError } from '../../base/errors.ts';
import type { ContentApi } from '../../protocol/content-api.ts';
import { versionDirectory } from '../../store/layout.ts';
import type { Transaction } from '../../update/journal.ts';
import type { EffectContext, EffectResult } from '../../update/ports.ts';
import { REINSTALLED } from '../../update/runner.ts';
import { assertProtected, checkOnDisk } from '../admission/admission.ts';
import { isPlacedOwn } from '../admission/own-way-back.ts';
import { readProgram } from '../admission/program-entry.ts';
import { assertClaimable } from '../admission/supervisor-ready.ts';
import { noteNoWayBack } from '../admission/ways-back.ts';
import { storeHead } from '../fetch/inspect-item.ts';
import { storePatchHead } from '../fetch/patch-offer.ts';
import { lookForReleases } from '../fetch/release-look.ts';
import { preflightWithRoom } from '../preflight/make-room.ts';
import { factsOf, type Preflight } from '../preflight/preflight.ts';
import type { AgentContext } from '../run/context.ts';
import { requireLauncher } from '../self/self-update.ts';
import { assertScriptPlace } from './app-data.ts';

export async function plan(
  context: Pick<
    AgentContext,
    | 'layout'
    | 'clock'
    | 'log'
    | 'gweVersion'
    | 'settings'
    | 'installed'
    | 'supervisor'
    | 'clockFloor'
    | 'ledger'
    | 'parked'
  >,
  content: ContentApi | undefined,
  effect: EffectContext,
): Promise<EffectResult> {
  const { transaction } = effect;
  assertProtected(context);
  context.ledger.flush();
  if (transaction.app === RESERVED_APP_NAME) requireLauncher(context);
  // The files alone say so, and nothing has been fetched.
  const original = assertClaimable(context.layout, transaction.app);
  const adopted = original === undefined ? undefined : await adoptBefore(context, original);
  const staged = await reuseStaged(context, transaction);
  if (staged !== undefined) return staged;
  if (content !== undefined && transaction.source.kind === 'content')
    await lookForReleases(context, content, effect.signal);
  const found = await preflightWithRoom(context, transaction, { content, signal: effect.signal });
  const learnt: Partial<Transaction> = found.active === undefined ? {} : { previous: found.active };
  if (found.refusal !== undefined) throw found.refusal;
  // Now, while nothing has been touched: a user or a disk that is not there must not cost a rollback.
  assertScriptPlace(context, transaction.app);
  if (found.action === 'roll-back' && found.present !== undefined)
    return reuse(context, transaction, found.present, learnt);
  const facts = {
    ...(found.info === undefined ? {} : { content: factsOf(found.info) }),
    ...storeInspection(context, transaction, found),
  };
  if (found.action === 'rerun' && found.present !== undefined) {
    const notes = [...transaction.notes, REINSTALLED];
    const rerun = await reuse(context, transaction, found.present, { ...learnt, ...facts, notes });
    return transaction.parks === undefined ? rerun : { ...rerun, event: 'park' };
  }
  const noWayBack =
    found.active === undefined || [RESERVED_APP_NAME, KEYS_APP_NAME].includes(transaction.app)
      ? undefined
      : noteNoWayBack(context, { app: transaction.app, ...found.active });
  const news = [adopted, noWayBack].filter((note) => note !== undefined);
  const notes = news.length === 0 ? {} : { notes: [...transaction.notes, ...news] };
  return { event: 'done', learnt: { ...learnt, ...facts, ...notes } };
}

/** What the original Gateway Engine installed counts as the version before. */
function adoptBefore(
  {
    layout,
    installed,
    supervisor,
    clock,
  }: Pick<AgentContext, 'layout' | 'installed' | 'supervisor' | 'clock'>,
  original: Parameters<typeof adoptForUpdate>[1],
): Promise<string> {
  return adoptForUpdate({ layout, installed, supervisor: supervisor(), nowMs: clock.wallMs() }, original);
}

/** What was fetched to look ahead is kept, so that it is not fetched again. */
function storeInspection(
  context: Pick<AgentContext, 'layout'>,
  transaction: Transaction,
  { inspection, info, chunks }: Preflight,
): Partial<Transaction> {
  if (inspection === undefined || info === undefined) return {};
  storeHead(context, { request: transaction, info }, inspection);
  if (chunks?.patch !== undefined) storePatchHead(context, transaction, chunks.patch);
  return {
    bytesFetched:
      transaction.bytesFetched + inspection.fetchedBytes + (chunks?.patchSearch.fetchedBytes ?? 0),
    requests: (transaction.requests ?? 0) + inspection.requests + (chunks?.patchSearch.requests ?? 0),
    ...(inspection.kind === 'whole' ? { wholeReason: inspection.reason } : {}),
  };
}

/** What was fetched and checked for it before, if it is there as it was; otherwise it is fetched again. */
async function reuseStaged(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed' | 'supervisor'>,
  transaction: Transaction,
): Promise<EffectResult | undefined> {
  const { staged, app, version, contentId } = transaction;
  if (staged === undefined) return undefined;
  const { notes, ...facts } = staged;
  const { active } = context.installed.get(app);
  const record = { ...facts, version, contentId, installedAtMs: 0 };
  if (!existsSync(versionDirectory(context.layout, app, record))) return undefined;
  assertScriptPlace(context, app);
  const isActive = active?.digest === staged.digest && active.version === version;
  const learnt: Partial<Transaction> = {
    ...facts,
    notes: [...notes, ...(isActive && !notes.includes(REINSTALLED) ? [REINSTALLED] : [])],
    ...(active === undefined ? {} : { previous: active }),
  };
  try {
    return await reuse(context, transaction, record, learnt);
  } catch (error) {
    context.log.warn('parked.lost', { tx: transaction.id, app, version }, describeError(error));
    return undefined;
  }
}

async function reuse(
  context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'supervisor'>,
  transaction: Transaction,
  record: VersionRecord,
  learnt: Partial<Transaction>,
): Promise<EffectResult> {
  const directory = versionDirectory(context.layout, transaction.app, record);
  const unpacked = { app: transaction.app, ...record };
  const changed = isPlacedOwn(context, unpacked)
    ? undefined
    : checkOnDisk(context, unpacked, transaction.source.kind === 'previous' ? 'way-back' : 'command');
  const program = await readProgram(context, transaction.app, directory, 'before-install');
  const notes = [...(learnt.notes ?? transaction.notes), ...(changed === undefined ? [] : [changed])];
  return {
    event: 'skip-fetch',
    learnt: {
      ...learnt,
      notes,
      digest: record.digest,
      hasProgram: program !== undefined,
      ...(record.content === undefined ? {} : { content: record.content }),
    },
  };
}
