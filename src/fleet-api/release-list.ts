/**
 * The release list of a product, and who would refuse what because of it (src/artifact/README.md, "Release lists"). The
 * platform knows no keys of gateways: that one goes by a list is known from its own reports alone.
 */
import {
  decodeReleaseList,
  isListed,
  MOST_LIST_BYTES,
  RELEASE_LIST_ID,
  type ReleaseList,
} from '../artifact/manifest/release-list.ts';
import { KEYS_APP_NAME, renderArtifactName } from '../artifact/name.ts';
import { describeError, GweError } from '../base/errors.ts';
import type { GatewayRecord } from '../fleet/gateway/record.ts';
import type { Artifact } from '../fleet/rollout/rollout.ts';
import type { FleetContext } from './call.ts';
import { readIndex } from './tarball-index.ts';

interface FoundList {
  readonly list?: ReleaseList;
  /** Ids of the keys. */
  readonly signatures: readonly string[];
  readonly updatedAt: number;
  /** Why no gateway of the product takes it over. */
  readonly problem?: string;
}

/** The list in the content area of the product; `undefined` where there is none. */
export async function findList({ storage }: FleetContext, product: string): Promise<FoundList | undefined> {
  const item = await storage.findContent(product, RELEASE_LIST_ID);
  if (item?.hasBlob !== true) return undefined;
  const { sizeBytes, updatedAt } = item;
  const none = { signatures: [], updatedAt };
  if (sizeBytes < 1 || sizeBytes > MOST_LIST_BYTES)
    return { ...none, problem: `it has ${sizeBytes} bytes, expected 1 to ${MOST_LIST_BYTES}` };
  const open = await storage.openContent(product, RELEASE_LIST_ID);
  if (open === undefined) return undefined;
  const pieces: Buffer[] = [];
  for await (const piece of open.read({ first: 0, last: sizeBytes - 1 })) pieces.push(Buffer.from(piece));
  try {
    const { list, signatures } = decodeReleaseList(Buffer.concat(pieces));
    const problem =
      list.product !== product
        ? `it is of product '${list.product}', expected '${product}'`
        : signatures.length === 0
          ? 'nobody has signed it'
          : undefined;
    const signers = signatures.map(({ keyid }) => keyid);
    return { list, signatures: signers, updatedAt, ...(problem === undefined ? {} : { problem }) };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    return {
      ...none,
      problem: `it cannot be read: ${describeError(error).replace(/^cannot read tarball: /, 'found ')}`,
    };
  }
}

const DAY_S = 86_400;

/** Days that it lasts for certain: 0 on its last day, less past its end. */
export function daysLeft({ expires }: Pick<ReleaseList, 'expires'>, at: number): number {
  return Math.ceil((expires - at) / DAY_S) - 1;
}

/** What is to be installed, as its tarball says. */
interface Wanted extends Artifact {
  /** Of its manifest; `undefined` for a tarball without one. */
  readonly digest: string | undefined;
  readonly release?: number | undefined;
}

interface ReleaseJudge {
  /** Why a gateway would refuse the artifacts because of its list; `undefined` where that is not known. */
  refusalOf(gateway: GatewayRecord): string | undefined;
  /** About a dry run with these gateways; `undefined` where there is neither a list nor who wants one. */
  summarize(gateways: readonly GatewayRecord[]): Record<string, unknown> | undefined;
}

export async function createReleaseJudge(
  context: FleetContext,
  product: string,
  { artifacts, at }: { artifacts: readonly Artifact[]; at: number },
): Promise<ReleaseJudge> {
  const found = await findList(context, product);
  const list = found?.problem === undefined ? found?.list : undefined;
  const wanted = list === undefined ? [] : await readWanted(context, product, artifacts);
  return {
    refusalOf: (gateway) => refusalOf(gateway, { list, problem: found?.problem, wanted, artifacts, at }),
    summarize(gateways) {
      const goBy = gateways.filter(({ releases }) => releases !== undefined);
      if (found === undefined && goBy.length === 0) return undefined;
      const named = wanted.filter((one) => list !== undefined && isNamed(list, one, undefined));
      const { release = null, expires } = list ?? {};
      return {
        release,
        expires: expires ?? null,
        daysLeft: list === undefined ? null : daysLeft(list, at),
        problem: found?.problem ?? null,
        named: named.map(({ app, version }) => renderArtifactName({ name: app, version })),
        gateways: goBy.length,
        ahead: goBy.filter(({ releases }) => isAhead(releases?.release, list)).length,
      };
    },
  };
}

async function readWanted(
  context: FleetContext,
  product: string,
  artifacts: readonly Artifact[],
): Promise<Wanted[]> {
  const wanted: Wanted[] = [];
  for (const artifact of artifacts) {
    const id = renderArtifactName({ name: artifact.app, version: artifact.version });
    const item = await context.storage.findContent(product, id);
    const index = item === undefined ? undefined : await readIndex(context, product, item);
    wanted.push({ ...artifact, digest: index?.digest, release: index?.release });
  }
  return wanted;
}

interface Judged {
  readonly list: ReleaseList | undefined;
  readonly problem: string | undefined;
  readonly wanted: readonly Wanted[];
  readonly artifacts: readonly Artifact[];
  readonly at: number;
}

function refusalOf(gateway: GatewayRecord, judged: Judged): string | undefined {
  const { releases } = gateway;
  const { list, problem, wanted, artifacts, at } = judged;
  if (releases === undefined || artifacts.every((artifact) => isExempt(gateway, artifact))) return undefined;
  const remedy = `sign one, and upload it as '${RELEASE_LIST_ID}'`;
  if (list === undefined || isAhead(releases.release, list)) {
    // What it goes by now is not known here but for its end.
    const found = problem === undefined ? '' : ` (that of the content area: ${problem})`;
    if (releases.state === 'missing') return `goes by a release list and has none${found}: ${remedy}`;
    const isOver = (releases.expires ?? Number.POSITIVE_INFINITY) <= at && releases.isLenient !== true;
    return isOver ? `its release list ${releases.release ?? ''} has expired${found}: ${remedy}` : undefined;
  }
  const other = wanted.find(
    (artifact) => !isExempt(gateway, artifact) && !isNamed(list, artifact, gateway.target),
  );
  if (other !== undefined) return notNamed(list, other);
  if (list.expires > at || releases.isLenient === true) return undefined;
  return `release list ${list.release} has expired (${isoTime(list.expires)}): sign and upload a newer one`;
}

/** What a gateway has on its disk, and a set of keys, is never refused by a list. */
function isExempt({ apps }: GatewayRecord, { app, version }: Artifact): boolean {
  const now = apps.get(app);
  return app === KEYS_APP_NAME || now?.version === version || now?.previous === version;
}

/** For a gateway of this target; without one, for any. */
function isNamed(
  list: ReleaseList,
  { app, version, digest, release }: Wanted,
  target: string | undefined,
): boolean {
  if (digest === undefined) return false;
  const manifest = { name: app, version, release };
  const targets = target === undefined ? ['x64', 'arm64', 'armv7l'] : [target.replace(/^linux-/, '')];
  return targets.some((architecture) => isListed(list, { manifest, digest }, architecture));
}

function notNamed({ release }: ReleaseList, { app, version, digest }: Wanted): string {
  if (digest === undefined)
    return `${app} ${version} has no manifest, so no release list can name it: 'gwe sign' makes one; upload that, and a list that names it`;
  return `release list ${release} does not name ${app} ${version} (${digest.slice(0, 8)}): name it in the next list, sign and upload that`;
}

/** A gateway takes over no lower list than it has seen. */
function isAhead(release: number | undefined, list: ReleaseList | undefined): boolean {
  return list !== undefined && release !== undefined && release > list.release;
}

function isoTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().replace('.000', '');
}
