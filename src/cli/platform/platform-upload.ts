/** Uploads a file to the content area, with the digests by which a gateway can check what it got. */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { readIndexFile } from '../../artifact/chunks/index-file.ts';
import { DEFAULT_LIMITS } from '../../artifact/limits.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { encodeForm } from '../../protocol/codec.ts';
import type { CommandCall } from '../shell/command.ts';
import { openMeter } from '../shell/progress-bar.ts';
import { hasRoleToken, openClient, pathSegment, refused } from './platform-options.ts';
import { type ContentItemReply, decodeContentItem } from './platform-replies.ts';

interface Place {
  readonly product: string;
  readonly id: string;
  /** The beginning of the meta text. */
  readonly meta?: string | undefined;
}

export async function uploadFile(
  call: CommandCall,
  file: string,
  { product, id, meta }: Place,
): Promise<{ item: ContentItemReply; sha256: string }> {
  const { sizeBytes, sha256 } = await digestFile(file);
  // By v2 the platform itself puts the digests into the meta.
  const [version, text] = hasRoleToken(call) ? ['v2', meta ?? ''] : ['v1', metaOf(file, sha256, meta)];
  const query = encodeForm([
    ['meta', text],
    ['sha256', sha256],
  ]);
  const meter = openMeter(call.io, `uploading ${id}`, call.options.has('json'));
  const path = `/gwe/${version}/products/${pathSegment(product)}/content/${pathSegment(id)}?${query}`;
  const reply = await openClient(call)
    .upload(path, { path: file, sizeBytes, onProgress: meter.move })
    .finally(meter.end);
  if (reply.status !== 200 && reply.status !== 201) throw refused(`upload '${file}'`, reply);
  return { item: decodeContentItem(reply.text), sha256 };
}

/** With the digest of the manifest, a gateway knows that the chunks it has belong to this tarball. */
function metaOf(file: string, sha256: string, text: string | undefined): string {
  const digests = [`SHA256:${sha256}`];
  try {
    const { index } = readIndexFile(file, DEFAULT_LIMITS);
    if (index !== undefined) digests.push(`MANIFEST-SHA256:${index.digest}`);
  } catch (error) {
    // Anything may be uploaded; it is for the gateways to refuse what they cannot use.
    if (!(error instanceof GweError)) throw error;
  }
  return [...(text === undefined || text === '' ? [] : [text]), ...digests].join(' ');
}

async function digestFile(file: string): Promise<{ sizeBytes: number; sha256: string }> {
  try {
    if (!statSync(file).isFile()) throw new Error('not a regular file');
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of createReadStream(file)) {
      const bytes: Buffer = chunk;
      hash.update(bytes);
      sizeBytes += bytes.length;
    }
    return { sizeBytes, sha256: hash.digest('hex') };
  } catch (error) {
    throw new GweError('STORE_IO', `cannot read '${file}': ${describeError(error)}`);
  }
}
