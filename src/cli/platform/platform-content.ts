/** `gwe platform content ...`: the files that the devices of a product may fetch. */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { basename } from 'node:path';
import { readIndexFile } from '../../artifact/chunks/index-file.ts';
import { DEFAULT_LIMITS } from '../../artifact/limits.ts';
import { findPatchFiles } from '../../artifact/patch/patch-files.ts';
import { describeError, GweError } from '../../base/errors.ts';
import { encodeForm } from '../../protocol/codec.ts';
import { printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { CONFIRM_OPTIONS, confirm } from '../shell/confirm.ts';
import { EXIT } from '../shell/exit.ts';
import { absolutePath } from '../shell/path.ts';
import { openMeter } from '../shell/progress-bar.ts';
import { cell, renderBytes } from '../shell/screen.ts';
import {
  CLIENT_LIST_OPTIONS,
  CLIENT_OPTIONS,
  oneLine,
  openClient,
  pathSegment,
  positional,
  printJson,
  refused,
  renderTime,
} from './platform-options.ts';
import { type ContentItemReply, decodeContentItem, decodeContentList } from './platform-replies.ts';
import { requireInstallable, requireProduct } from './put-checks.ts';
import { makeFleetPatches } from './put-patches.ts';

export const contentCommands: readonly CommandSpec[] = [
  {
    path: ['platform', 'content', 'put'],
    positionals: ['PRODUCT', 'FILE'],
    summary:
      'Upload a file to the content area, replacing one of the same id; with a tarball go patches to it: those beside it, and from the versions that the fleet runs',
    options: [
      { name: 'id', value: 'ID', help: 'content id', default: "the file's name" },
      { name: 'meta', value: 'TEXT', help: 'what the meta text begins with; digests are added to it' },
      { name: 'create', help: 'for a product that has no device and no content yet' },
      { name: 'raw', help: 'upload it as it is, though a gateway would refuse it' },
      { name: 'without-patches', help: 'make no patches from the versions that the fleet runs' },
      ...CLIENT_OPTIONS,
    ],
    run: putContent,
  },
  {
    path: ['platform', 'content', 'list'],
    positionals: ['PRODUCT'],
    summary: 'List the content area of a product',
    options: CLIENT_LIST_OPTIONS,
    run: listContent,
  },
  {
    path: ['platform', 'content', 'delete'],
    positionals: ['PRODUCT', 'ID'],
    summary: 'Delete a file from the content area',
    options: [...CONFIRM_OPTIONS, ...CLIENT_OPTIONS],
    run: deleteContent,
  },
];

/**
 * The digests go with the bytes, so that a broken upload is refused and a gateway can check what it got, whole or in
 * parts.
 */
async function putContent(call: CommandCall): Promise<number> {
  const product = positional(call, 0, 'PRODUCT');
  const file = absolutePath(call.io, positional(call, 1, 'FILE'));
  const id = call.options.text('id') ?? basename(file);
  if (!call.options.has('raw')) await requireInstallable(call, file, id);
  if (!call.options.has('create')) await requireProduct(call, product);
  // Before it: a gateway that hears of the tarball finds them.
  const patches: string[] = [];
  for (const patch of findPatches(file)) {
    patches.push((await uploadFile(call, product, patch, basename(patch))).item.id);
    if (!call.options.has('json')) call.io.stdout(`${patches.at(-1)} of ${product}: a patch to it\n`);
  }
  if (!call.options.has('raw') && !call.options.has('without-patches'))
    await makeFleetPatches(call, { product, file, id, have: new Set(patches) }, async (patch) => {
      const { from, gateways, chunkedBytes, patchedBytes } = patch;
      patches.push((await uploadFile(call, product, patch.file, basename(patch.file))).item.id);
      const saved = `saves ${renderBytes(chunkedBytes - patchedBytes)} of ${renderBytes(chunkedBytes)} on ${gateways === 1 ? 'one gateway' : `each of ${gateways} gateways`}`;
      if (!call.options.has('json'))
        call.io.stdout(`${patches.at(-1)} of ${product}: a patch from ${from}, ${saved}\n`);
    });
  const { item, sha256 } = await uploadFile(call, product, file, id);
  if (call.options.has('json')) printJson(call, { product, ...publicItem(item), sha256, patches });
  else call.io.stdout(`${item.id} of ${product}: ${item.sizeBytes} bytes, sha256 ${sha256.slice(0, 16)}\n`);
  return 0;
}

/** Those that `gwe patch` has left beside the tarball; none beside what gwe cannot read. */
function findPatches(file: string): string[] {
  try {
    return findPatchFiles(file);
  } catch {
    return [];
  }
}

async function uploadFile(
  call: CommandCall,
  product: string,
  file: string,
  id: string,
): Promise<{ item: ContentItemReply; sha256: string }> {
  const client = openClient(call);
  const { sizeBytes, sha256 } = await digestFile(file);
  const query = encodeForm([
    ['meta', metaOf(file, sha256, call.options.text('meta'))],
    ['sha256', sha256],
  ]);
  const meter = openMeter(call.io, `uploading ${id}`, call.options.has('json'));
  const path = `/gwe/v1/products/${pathSegment(product)}/content/${pathSegment(id)}?${query}`;
  const reply = await client
    .upload(path, { path: file, sizeBytes, onProgress: meter.move })
    .finally(meter.end);
  if (reply.status !== 200) throw refused(`upload '${file}'`, reply);
  return { item: decodeContentItem(reply.text), sha256 };
}

/** With the digest of the manifest, a gateway may take the chunks that it has for those of this tarball. */
function metaOf(file: string, sha256: string, text: string | undefined): string {
  const digests = [`SHA256:${sha256}`];
  try {
    const { index } = readIndexFile(file, DEFAULT_LIMITS);
    if (index !== undefined) digests.push(`MANIFEST-SHA256:${index.digest}`);
  } catch (error) {
    // Anything may be uploaded; that gateways would refuse it is for them to say.
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

function publicItem(item: ContentItemReply): Record<string, unknown> {
  const { id, contentType, sizeBytes, updatedAt, meta } = item;
  return { id, contentType, sizeBytes, updatedAt, meta };
}

async function listContent(call: CommandCall): Promise<number> {
  const product = positional(call, 0, 'PRODUCT');
  const reply = await openClient(call).call('GET', `/gwe/v1/products/${pathSegment(product)}/content`);
  if (reply.status !== 200) throw refused(`list the content of '${product}'`, reply);
  const items = decodeContentList(reply.text);
  const content = items.map(publicItem);
  printListing(call, {
    document: { product, content },
    fields: ['id', 'contentType', 'sizeBytes', 'updatedAt', 'meta'],
    rows: content,
    printText() {
      const rows = items.map(({ id, sizeBytes, updatedAt }) =>
        [oneLine(id), String(sizeBytes), renderTime(updatedAt)].map((text) => cell(text)),
      );
      printTable(call.io, COLUMNS, rows);
    },
  });
  return EXIT.ok;
}

const COLUMNS = [
  { title: 'ID', rank: 0 },
  { title: 'BYTES', rank: 1 },
  { title: 'UPDATED (UTC)', rank: 2 },
];

async function deleteContent(call: CommandCall): Promise<number> {
  const product = positional(call, 0, 'PRODUCT');
  const id = positional(call, 1, 'ID');
  if (!(await confirm(call, `delete content '${id}' of product '${product}'`))) return EXIT.ok;
  const reply = await openClient(call).call(
    'DELETE',
    `/provision/manage/content/${pathSegment(product)}/${pathSegment(id)}`,
  );
  if (reply.status !== 205) throw refused(`delete content '${id}'`, reply);
  if (call.options.has('json')) printJson(call, { product, id, deleted: true });
  else call.io.stdout(`${id} of ${product}: deleted\n`);
  return 0;
}
