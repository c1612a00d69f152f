/** `gwe platform content ...`: the files that the devices of a product may fetch. */
import { basename } from 'node:path';
import { findPatchFiles } from '../../artifact/patch/patch-files.ts';
import { printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { CONFIRM_OPTIONS, confirm } from '../shell/confirm.ts';
import { EXIT } from '../shell/exit.ts';
import { absolutePath } from '../shell/path.ts';
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
import { type ContentItemReply, decodeContentList } from './platform-replies.ts';
import { uploadFile } from './platform-upload.ts';
import { requireInstallable, requireProduct } from './put-checks.ts';
import { askForPatches, type FleetPatch, hasWorkers, makeFleetPatches } from './put-patches.ts';

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
  // Sent before the tarball, so that a gateway that hears of the tarball finds them.
  const patches: string[] = [];
  const putPatch = async (patch: string, about: string): Promise<void> => {
    patches.push((await uploadFile(call, patch, { product, id: basename(patch), meta })).item.id);
    if (!call.options.has('json')) call.io.stdout(`${patches.at(-1)} of ${product}: ${about}\n`);
  };
  const meta = call.options.text('meta');
  for (const patch of findPatches(file)) await putPatch(patch, 'a patch to it');
  const wantsPatches = !call.options.has('raw') && !call.options.has('without-patches');
  const hasWorker = wantsPatches && (await hasWorkers(call, product));
  if (wantsPatches && !hasWorker)
    await makeFleetPatches(call, { product, file, id, have: new Set(patches) }, (patch) =>
      putPatch(patch.file, describePatch(patch)),
    );
  const { item, sha256 } = await uploadFile(call, file, { product, id, meta });
  if (hasWorker) await askForPatches(call, product, id);
  if (call.options.has('json')) printJson(call, { product, ...publicItem(item), sha256, patches });
  else call.io.stdout(`${item.id} of ${product}: ${item.sizeBytes} bytes, sha256 ${sha256.slice(0, 16)}\n`);
  return 0;
}

function describePatch({ from, gateways, chunkedBytes, patchedBytes }: FleetPatch): string {
  const saved = `saves ${renderBytes(chunkedBytes - patchedBytes)} of ${renderBytes(chunkedBytes)}`;
  return `a patch from ${from}, ${saved} on ${gateways === 1 ? 'one gateway' : `each of ${gateways} gateways`}`;
}

/** The patches that `gwe patch` has left beside the tarball; none for a tarball that gwe cannot read. */
function findPatches(file: string): string[] {
  try {
    return findPatchFiles(file);
  } catch {
    return [];
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
