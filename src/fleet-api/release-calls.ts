/** The release list of a product, for people: how long it lasts, and what is there that it does not name. */
import type { ReleaseList } from '../artifact/manifest/release-list.ts';
import { KEYS_APP_NAME, matchArtifactName } from '../artifact/name.ts';
import { Refusal } from '../platform/http/exchange.ts';
import { type Answer, type ApiCall, type FleetContext, nameOf, type Request } from './call.ts';
import { eachGateway } from './gateway-calls.ts';
import type { Walk } from './recent.ts';
import { daysLeft, findList } from './release-list.ts';

export const releaseCalls: readonly ApiCall[] = [
  {
    method: 'GET',
    path: '/products/{product}/releases',
    permission: 'fleet.read',
    summary: 'The release list: what it names, how long it lasts, and what is there that it does not name',
    run: showReleases,
  },
];

async function showReleases(context: FleetContext, request: Request): Promise<Answer> {
  const product = nameOf(request, 'product');
  if (!(await context.storage.hasProduct(product))) throw new Refusal(404, 'no such product');
  const body = await context.recent.of(`releases ${product}`, () => describe(context, product, request.at));
  return { body };
}

async function describe(context: FleetContext, product: string, at: number): Promise<Walk> {
  const found = await findList(context, product);
  const list = found?.list;
  const { installed, gateways } = await countInstalled(context, product);
  const there = list === undefined ? [] : await listThere(context, product, installed);
  const body = {
    list: list ?? null,
    signatures: found?.signatures ?? [],
    updatedAt: found?.updatedAt ?? null,
    problem: found?.problem ?? null,
    daysLeft: list === undefined ? null : daysLeft(list, at),
    unlisted: there.filter((one) => list !== undefined && !isNamed(list, one)).map(showThere),
    installed: Object.fromEntries(
      [...installed].map(([app, versions]) => [app, Object.fromEntries(versions)]),
    ),
    gateways,
  };
  return { body, gateways: gateways.all };
}

type Installed = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** App -> version -> gateways that run it, and how many go by a list. */
async function countInstalled(context: FleetContext, product: string) {
  const installed = new Map<string, Map<string, number>>();
  const gateways = { all: 0, goBy: 0, stale: 0, missing: 0 };
  await eachGateway(
    context,
    product,
    () => true,
    ({ apps, releases }) => {
      gateways.all += 1;
      if (releases !== undefined) gateways.goBy += 1;
      if (releases?.state === 'stale' || releases?.state === 'missing') gateways[releases.state] += 1;
      for (const [app, { version }] of apps) {
        const versions = installed.get(app) ?? new Map<string, number>();
        installed.set(app, versions.set(version, (versions.get(version) ?? 0) + 1));
      }
    },
  );
  return { installed, gateways };
}

interface There {
  readonly app: string;
  readonly version: string;
  readonly gateways: number;
  readonly isUploaded: boolean;
  /** Of its manifest, where the upload says so. */
  readonly digest: string | undefined;
}

const MANIFEST_DIGEST = /\bMANIFEST-SHA256:([0-9a-f]{64})\b/;

/** Each version that is installed or in the content area, by app and version. */
async function listThere({ storage }: FleetContext, product: string, installed: Installed): Promise<There[]> {
  const there = new Map<string, There>();
  for (const [app, versions] of installed)
    for (const [version, gateways] of versions)
      there.set(`${app} ${version}`, { app, version, gateways, isUploaded: false, digest: undefined });
  for (let after: string | undefined; ; ) {
    const page = await storage.listContent(product, { after, limit: 1000 });
    for (const { id, hasBlob, meta } of page.items) {
      const name = matchArtifactName(id);
      if (name === undefined || !hasBlob) continue;
      const key = `${name.name} ${name.version}`;
      const gateways = there.get(key)?.gateways ?? 0;
      const [, digest] = MANIFEST_DIGEST.exec(meta) ?? [];
      there.set(key, { app: name.name, version: name.version, gateways, isUploaded: true, digest });
    }
    if (page.next === undefined) break;
    after = page.next;
  }
  const sorted = [...there].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
  return sorted.filter(({ app }) => app !== KEYS_APP_NAME);
}

/** For some machine; where the upload does not say of what bytes it is, its version alone counts. */
function isNamed(list: ReleaseList, { app, version, digest }: There): boolean {
  const versions = new Map(Object.entries(list.apps)).get(app) ?? [];
  return versions.some((one) => one.version === version && (digest === undefined || one.digest === digest));
}

function showThere({ app, version, gateways, isUploaded }: There): Record<string, unknown> {
  return { app, version, gateways, isUploaded };
}
