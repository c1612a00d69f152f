/**
 * The content area of a product, for people: what can be installed, who signed it, and uploads, which count only when
 * complete.
 */
import { matchArtifactName } from '../artifact/name.ts';
import { Refusal } from '../platform/http/exchange.ts';
import { checkMeta, checkName, safeContentType } from '../platform/http/names.ts';
import { findContentUse } from '../platform/management/content-use.ts';
import type { ContentItem } from '../platform/storage/content-storage.ts';
import {
  type Answer,
  type ApiCall,
  BYTES,
  type FleetContext,
  limitOf,
  nameOf,
  type Request,
} from './call.ts';
import { indexOf, MOST_HEAD_BYTES, readIndex } from './tarball-index.ts';

const ITEM = '/products/{product}/content/{item}';

export const contentCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/products/{product}/content',
    permission: 'fleet.read',
    summary: 'What gateways may fetch, by id',
    query: ['after', 'limit'],
    run: listContent,
  },
  {
    method: 'GET',
    path: ITEM,
    permission: 'fleet.read',
    summary: 'One item, with what its tarball says of itself: who signed it, and for which machines it is',
    run: showContent,
  },
  {
    method: 'PUT',
    path: ITEM,
    permission: 'content.write',
    summary: 'Upload an item, or replace it; refused where what came is not of the sha256 that is named',
    query: ['sha256', 'meta'],
    takes: BYTES,
    run: putContent,
  },
  {
    method: 'GET',
    path: `${ITEM}/bytes`,
    permission: 'content.write',
    summary: 'The bytes of an item, for whoever makes patches',
    gives: [BYTES],
    run: sendBytes,
  },
  {
    method: 'DELETE',
    path: ITEM,
    permission: 'content.write',
    summary: 'Delete an item; refused, with the reason, while a rollout or a gateway needs it',
    run: deleteContent,
  },
];

async function listContent({ storage }: FleetContext, request: Request): Promise<Answer> {
  const product = nameOf(request, 'product');
  if (!(await storage.hasProduct(product))) throw new Refusal(404, 'no such product');
  const page = { after: request.query.get('after') ?? undefined, limit: limitOf(request.query) };
  const { items, next } = await storage.listContent(product, page);
  return { body: { content: items.map(showItem), next: next ?? null } };
}

function showItem({ id, contentType, sizeBytes, updatedAt, meta, hasBlob }: ContentItem) {
  const artifact = matchArtifactName(id);
  const named = artifact === undefined ? {} : { app: artifact.name, version: artifact.version };
  return { id, ...named, contentType, sizeBytes, updatedAt, meta, isUploaded: hasBlob };
}

async function showContent(context: FleetContext, request: Request): Promise<Answer> {
  const item = await findItem(context, request);
  const signed = item.hasBlob ? await readIndex(context, nameOf(request, 'product'), item) : undefined;
  return { body: { ...showItem(item), index: signed ?? null } };
}

async function sendBytes({ storage }: FleetContext, request: Request): Promise<Answer> {
  const open = await storage.openContent(nameOf(request, 'product'), nameOf(request, 'item'));
  if (open === undefined) throw new Refusal(404, 'no such content');
  const { sizeBytes } = open.item;
  const stream = open.read({ first: 0, last: sizeBytes - 1 });
  const headers = { 'content-type': BYTES, 'cache-control': 'no-store' };
  return { body: undefined, reply: { status: 200, headers, body: { stream, sizeBytes } } };
}

async function findItem({ storage }: FleetContext, request: Request): Promise<ContentItem> {
  const item = await storage.findContent(nameOf(request, 'product'), nameOf(request, 'item'));
  if (item === undefined) throw new Refusal(404, 'no such content');
  return item;
}

async function putContent({ storage }: FleetContext, request: Request): Promise<Answer> {
  const product = nameOf(request, 'product');
  if (!(await storage.hasProduct(product))) throw new Refusal(404, 'no such product');
  const id = checkName('content id', nameOf(request, 'item'));
  const meta = checkMeta(request.query.get('meta') ?? '');
  const pieces: Uint8Array[] = [];
  let headBytes = 0;
  const upload = await request.receive((piece) => {
    if (headBytes >= MOST_HEAD_BYTES) return;
    pieces.push(Uint8Array.from(piece));
    headBytes += piece.length;
  });
  try {
    const { sha256, sizeBytes } = upload;
    const expected = request.query.get('sha256') ?? sha256;
    if (expected.toLowerCase() !== sha256)
      throw new Refusal(
        422,
        `cannot keep '${id}': received sha256 ${sha256}, expected ${expected.slice(0, 64)}`,
      );
    const signed = indexOf(Buffer.concat(pieces), sizeBytes);
    const manifest = typeof signed === 'object' ? ` MANIFEST-SHA256:${signed.digest}` : '';
    const facts = {
      contentType: safeContentType(request.header('content-type')),
      meta: `${meta === '' ? '' : `${meta} `}SHA256:${sha256}${manifest}`,
    };
    const item = await storage.putContent(product, id, facts, upload);
    await note(storage, { ...request.audit('content.put', `${product}/${id}`), after: facts.meta });
    return { status: 201, body: showItem(item) };
  } finally {
    await upload.discard();
  }
}

async function deleteContent(context: FleetContext, request: Request): Promise<Answer> {
  const { storage } = context;
  const product = nameOf(request, 'product');
  const { id, meta } = await findItem(context, request);
  const use = await findContentUse(storage, product, id);
  if (use !== undefined) throw new Refusal(409, `cannot delete '${id}': ${use}`);
  if (!(await storage.deleteContent(product, id))) throw new Refusal(404, 'no such content');
  await note(storage, { ...request.audit('content.delete', `${product}/${id}`), before: meta });
  return { body: { id, removed: true } };
}

/** Makes an entry in the audit for a change that the storage makes without one. */
async function note(storage: FleetContext['storage'], audit: ReturnType<Request['audit']>): Promise<void> {
  const which = { kind: 'noted', key: audit.target };
  await storage.changeRecord(which, () => ({ result: undefined, audit }));
}
