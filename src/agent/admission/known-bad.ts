/**
 * What failed before under the same command is retried when an operator writes that command again, because the
 * gateway may have been corrected: at most once an interval, and less and less often. An update of gwe itself is not
 * retried.
 */
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import type { ContentFacts } from '../../artifact/record.ts';
import { GweError } from '../../base/errors.ts';
import type { Refusal } from '../../store/installed.ts';
import type { AgentContext } from '../run/context.ts';
import type { UpdateRequest } from '../run/update-request.ts';

/** The longest pause between two tries; a longer interval is already such a pause. */
const LONGEST_PAUSE_MS = 24 * 3600 * 1000;

type Judge = Pick<AgentContext, 'installed' | 'clock' | 'settings'>;

/** ARTIFACT_REFUSED if bytes that match failed under the same command before, and it is too early to try them again. */
export function knownBad(
  context: Judge,
  request: Pick<UpdateRequest, 'app' | 'contentId' | 'commandDigest'>,
  matches: (refusal: { contentId: string; digest: string; content?: ContentFacts | undefined }) => boolean,
): GweError | undefined {
  const { refused } = context.installed.get(request.app);
  const refusal = refused.find(
    (known) =>
      (request.commandDigest === undefined || known.commandDigest === request.commandDigest) &&
      matches(known),
  );
  if (refusal === undefined) return undefined;
  const isOwn = request.app === RESERVED_APP_NAME;
  const leftMs = pauseLeftMs(context, refusal);
  if (!isOwn && leftMs <= 0) return undefined;
  const later = isOwn ? '' : `, or write the same command again in ${Math.ceil(leftMs / 1000)} s`;
  // The remedy comes first: a console shows the beginning.
  return new GweError(
    'ARTIFACT_REFUSED',
    `cannot install it again now: add any key to the command ("id": 2)${later}, or upload a corrected tarball; ` +
      `'${request.contentId}' failed with the same bytes: ${refusal.reason}`,
  );
}

/** If the clock went back, the time counts as elapsed: one try too many does less harm. */
function pauseLeftMs({ clock, settings }: Judge, { failedAtMs, failures = 1 }: Refusal): number {
  if (failedAtMs === undefined) return 0;
  const intervalMs = settings().updateIntervalS * 1000;
  const pauseMs = Math.min(intervalMs * 2 ** Math.min(failures - 1, 30), LONGEST_PAUSE_MS);
  return Math.max(pauseMs, intervalMs) - Math.abs(clock.wallMs() - failedAtMs);
}
