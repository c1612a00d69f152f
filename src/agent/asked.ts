/** What an update is asked for, and where what is fetched for it goes. */
import { join } from 'node:path';
import { GweError } from '../base/errors.ts';
import type { ContentApi } from '../protocol/content.ts';
import type { Transaction } from '../update/journal.ts';
import type { AgentContext } from './context.ts';

/** Without a command every refusal of the past counts, whichever command it came from. */
export type Asked = Pick<Transaction, 'app' | 'version' | 'contentId' | 'source'> &
  Partial<Pick<Transaction, 'expectedSha256' | 'commandDigest'>>;

/** One partial file per content id, so that a command sent again goes on where the last one stopped. */
export function downloadFile(context: AgentContext, asked: Pick<Asked, 'contentId'>): string {
  return join(context.layout.downloadsDirectory, asked.contentId);
}

/** The first bytes of an item whose chunks are fetched. */
export function indexFile(context: AgentContext, asked: Pick<Asked, 'contentId'>): string {
  return `${downloadFile(context, asked)}.index`;
}

/** What was fetched of a patch to it. */
export function patchFile(context: AgentContext, asked: Pick<Asked, 'contentId'>): string {
  return `${downloadFile(context, asked)}.patch`;
}

/** Throws PROTOCOL_OFFLINE where there is no platform to fetch from (a local install). */
export function requireApi(content: ContentApi | undefined): ContentApi {
  if (content !== undefined) return content;
  throw new GweError('PROTOCOL_OFFLINE', 'cannot fetch: this run has no platform to fetch from');
}
