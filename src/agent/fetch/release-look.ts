/** Asks the content area for the release list: what is unchanged costs one small request. */
import * as v from 'valibot';
import { MOST_LIST_BYTES, RELEASE_LIST_ID } from '../../artifact/manifest/release-list.ts';
import { describeError, GweError, isDiskFault } from '../../base/errors.ts';
import { storedFile } from '../../base/stored-file.ts';
import { type ContentApi, contentInfo, readContentRange } from '../../protocol/content-api.ts';
import { readReleaseList } from '../../store/release-lists.ts';
import type { AgentContext } from '../run/context.ts';
import { acceptReleaseList, wantsReleaseLists } from '../run/release-lists.ts';

type Context = Pick<AgentContext, 'layout' | 'log' | 'settings'>;

/** A little less than a day, so that the time of the look does not drift. */
const BETWEEN_LOOKS_MS = 23 * 3600 * 1000;
const LARGEST_LOOK_BYTES = 4096;
const LookSchema = v.object({ atMs: v.number() });

/** Once a day, and after each start of the machine. */
export async function lookDaily(
  context: Context & Pick<AgentContext, 'clock'>,
  content: ContentApi,
  signal: AbortSignal,
): Promise<void> {
  const file = storedFile(context.layout.releaseLook, { schema: LookSchema, limitBytes: LARGEST_LOOK_BYTES });
  const nowMs = context.clock.wallMs();
  const agoMs = nowMs - (file.readOr(undefined)?.atMs ?? Number.NEGATIVE_INFINITY);
  if (agoMs >= 0 && agoMs < BETWEEN_LOOKS_MS) return;
  if (!(await lookForReleases(context, content, signal))) return;
  try {
    file.write({ atMs: nowMs });
  } catch (error) {
    if (!isDiskFault(error)) throw error;
  }
}

/**
 * Where a list is wanted, takes the one of the platform over if it may. What goes wrong is logged, and the list from
 * before counts: true if the platform was heard. Throws CANCELLED.
 */
export async function lookForReleases(
  context: Context,
  content: ContentApi,
  signal: AbortSignal,
): Promise<boolean> {
  if (!wantsReleaseLists(context)) return false;
  try {
    await look(context, content, signal);
    return true;
  } catch (error) {
    if (!(error instanceof GweError) || error.code === 'CANCELLED') throw error;
    context.log.warn('releases.refused', { code: error.code }, describeError(error));
    return error.isRejection;
  }
}

async function look(context: Context, content: ContentApi, signal: AbortSignal): Promise<void> {
  const info = await contentInfo(content, RELEASE_LIST_ID, signal);
  if (info === undefined)
    throw new GweError(
      'ARTIFACT_UNLISTED',
      `cannot find '${RELEASE_LIST_ID}' in the content area, expected the release list`,
    );
  const { sizeBytes, updated } = info;
  const seen = readReleaseList(context.layout)?.item;
  if (seen?.sizeBytes === sizeBytes && seen.updated === updated) return;
  if (sizeBytes < 1 || sizeBytes > MOST_LIST_BYTES)
    throw new GweError(
      'ARTIFACT_FORMAT',
      `cannot use '${RELEASE_LIST_ID}': it has ${sizeBytes} bytes, expected 1 to ${MOST_LIST_BYTES}`,
    );
  const limits = { maxBytes: sizeBytes, signal };
  const { bytes } = await readContentRange(
    content,
    RELEASE_LIST_ID,
    { start: 0, end: sizeBytes - 1 },
    limits,
  );
  const { release } = acceptReleaseList(context, bytes, { sizeBytes, updated });
  context.log.info('releases.accepted', { release, bytes: bytes.length });
}
