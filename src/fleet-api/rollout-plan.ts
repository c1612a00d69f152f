/** The request for a rollout, and which gateways would be in it. */
import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { KEYS_APP_NAME, matchArtifactName, RESERVED_APP_NAME, renderArtifactName } from '../artifact/name.ts';
import { ALWAYS_OPEN, parseWindows, renderWindows, windowsProblem } from '../base/time/windows.ts';
import type { GatewayRecord } from '../fleet/gateway/record.ts';
import { knowsTerms } from '../fleet/rollout/agent-knows.ts';
import { DEFAULT_WAVES, planRollout, type WaveSize } from '../fleet/rollout/plan.ts';
import type { Artifact, Policy } from '../fleet/rollout/rollout.ts';
import { Refusal } from '../platform/http/exchange.ts';
import type { ContentItem } from '../platform/storage/content-storage.ts';
import type { FleetGateway } from '../platform/storage/fleet-storage.ts';
import type { Page } from '../platform/storage/page.ts';
import { type FleetContext, nameOf, type Request } from './call.ts';
import { chosenOf, eachGateway } from './gateway-calls.ts';
import { createReleaseJudge } from './release-list.ts';
import { readIndex, type TarballIndex } from './tarball-index.ts';

const SHARE = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const COUNT = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000));
const SECONDS = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(31_536_000));
const RANGE = v.object({ days: v.array(v.number()), from: v.string(), to: v.string() });
const WAVES = v.pipe(
  v.array(v.union([v.object({ count: COUNT }), v.object({ share: SHARE })])),
  v.minLength(1),
  v.maxLength(20),
);

export const SIGNED = v.object({
  by: v.pipe(v.string(), v.maxLength(64)),
  counter: v.pipe(v.number(), v.integer(), v.minValue(1)),
  for: v.pipe(v.string(), v.maxLength(16)),
  sig: v.pipe(v.string(), v.maxLength(128)),
  until: v.pipe(v.number(), v.integer(), v.minValue(1)),
});

/** The request for a rollout. */
export const SPEC = v.object({
  name: v.optional(v.pipe(v.string(), v.maxLength(128))),
  /** Content ids, in the order in which they are installed. */
  artifacts: v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(8)),
  filter: v.optional(v.string()),
  group: v.optional(v.string()),
  serials: v.optional(v.pipe(v.array(v.string()), v.maxLength(100_000))),
  waves: v.optional(WAVES),
  limit: v.optional(SHARE),
  need: v.optional(SHARE),
  stopsAtFailedRollback: v.optional(v.boolean()),
  concurrency: v.optional(COUNT),
  soakS: v.optional(SECONDS),
  reachS: v.optional(SECONDS),
  installS: v.optional(SECONDS),
  /** Seconds before each further try after a fault of the network or the platform. */
  retriesS: v.optional(v.pipe(v.array(SECONDS), v.maxLength(10))),
  /** All artifacts are installed on a gateway, or none. */
  together: v.optional(v.boolean()),
  /** Gateways that match the filter or the group later join its last wave. */
  follow: v.optional(v.boolean()),
  /** Unix seconds before which no gateway installs. */
  notBefore: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  windows: v.optional(v.object({ zone: v.string(), ranges: v.pipe(v.array(RANGE), v.maxLength(50)) })),
  /**
   * The signature of the command, by whoever starts the rollout (src/protocol/README.md, "Signed commands"): gateways
   * check it.
   */
  signed: v.optional(SIGNED),
});
export type Spec = v.InferOutput<typeof SPEC>;

export interface Planned {
  readonly id: string;
  readonly artifacts: readonly Artifact[];
  readonly plan: ReturnType<typeof planRollout>;
  readonly durationS: number;
  /** App -> version -> gateways of the rollout that have it. */
  readonly versions: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Serial numbers of the gateways in it whose agent does not know what the command says. */
  readonly heldBack: readonly string[];
  /** How the release list of the product concerns it. */
  readonly releases: Record<string, unknown> | undefined;
}

/** Which gateways would be in the rollout, and in which wave. Refuses an artifact that is not in the content area. */
export async function planOf(context: FleetContext, request: Request, spec: Spec): Promise<Planned> {
  const product = nameOf(request, 'product');
  const { artifacts, sizes, needs } = await findArtifacts(context, product, spec.artifacts);
  const patches = await findPatches(context, product, artifacts);
  const chosen = await chosenOf(context, product, spec);
  const listed = spec.serials === undefined ? undefined : new Set(spec.serials);
  const gateways: FleetGateway[] = [];
  await eachGateway(context, product, chosen, (gateway) => {
    if (listed === undefined || listed.has(gateway.serial)) gateways.push(gateway);
  });
  const id = `r${request.at.toString(36)}${randomBytes(3).toString('hex')}`;
  const waves: readonly WaveSize[] = spec.waves ?? DEFAULT_WAVES;
  const fetchOf = (gateway: GatewayRecord): Fetch => fetchFor(gateway, artifacts, { sizes, patches });
  const policy = policyOf(spec, artifacts);
  const { refusalOf, summarize } = await createReleaseJudge(context, product, { artifacts, at: request.at });
  const plan = planRollout(gateways, { artifacts, waves, id, at: request.at, ...needs, refusalOf, fetchOf });
  const serials = new Set(plan.waves.flat());
  const included = gateways.filter(({ serial }) => serials.has(serial));
  return {
    id,
    artifacts,
    plan,
    durationS: durationOf(plan.waves, gateways, policy),
    heldBack: heldBackOf(included, policy),
    versions: versionsOf(included),
    releases: summarize(gateways),
  };
}

function versionsOf(gateways: readonly GatewayRecord[]): Map<string, Map<string, number>> {
  const found = new Map<string, Map<string, number>>();
  for (const { apps } of gateways)
    for (const [app, { version }] of apps) {
      const versions = found.get(app) ?? new Map<string, number>();
      found.set(app, versions.set(version, (versions.get(version) ?? 0) + 1));
    }
  return found;
}

function heldBackOf(gateways: readonly GatewayRecord[], { notBefore, windows, together }: Policy): string[] {
  if (notBefore === undefined && windows.ranges.length === 0 && together !== true) return [];
  return gateways.flatMap(({ serial, gweVersion }) => (knowsTerms(gweVersion) ? [] : [serial]));
}

interface Fetch {
  readonly way: 'patch' | 'whole';
  readonly bytes: number;
}

interface Offered {
  /** Bytes of each artifact as one tarball. */
  readonly sizes: readonly number[];
  /** `APP VERSION OLD8` -> bytes of the patch from the version whose digest begins with OLD8. */
  readonly patches: ReadonlyMap<string, number>;
}

/** An app that need not be fetched does not affect the way. */
function fetchFor(
  gateway: GatewayRecord,
  artifacts: readonly Artifact[],
  { sizes, patches }: Offered,
): Fetch {
  let [bytes, isWhole] = [0, false];
  for (const [at, { app, version }] of artifacts.entries()) {
    const now = gateway.apps.get(app);
    if (now?.version === version) continue;
    const patch = patches.get(`${app} ${version} ${now?.digest?.slice(0, 8)}`);
    isWhole ||= patch === undefined;
    bytes += patch ?? sizes[at] ?? 0;
  }
  return { way: isWhole ? 'whole' : 'patch', bytes };
}

const PATCH = /^(.+)\.v(.+)\.([0-9a-f]{8})-[0-9a-f]{8}\.patch$/;

/** The patches to these artifacts in the content area. */
async function findPatches(
  { storage }: FleetContext,
  product: string,
  artifacts: readonly Artifact[],
): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const { app, version } of artifacts) {
    // Items are listed by id, so those of one version stand together.
    for (let after: string | undefined = `${app}.v${version}.`; after !== undefined; ) {
      const page: Page<ContentItem> = await storage.listContent(product, { after, limit: 100 });
      for (const { id, sizeBytes, hasBlob } of page.items) {
        const [, ofApp, ofVersion, old] = PATCH.exec(id) ?? [];
        if (hasBlob && ofApp === app && ofVersion === version)
          found.set(`${app} ${version} ${old}`, sizeBytes);
      }
      const isPast = page.items.at(-1)?.id.startsWith(`${app}.v${version}.`) !== true;
      after = isPast ? undefined : page.next;
    }
  }
  return found;
}

/** How long until the last wave is judged, if nothing fails and each gateway comes to read within its interval. */
function durationOf(
  waves: readonly (readonly string[])[],
  gateways: readonly FleetGateway[],
  { concurrency, soakS }: Policy,
): number {
  const intervals = new Map(gateways.map(({ serial, intervalS }) => [serial, intervalS]));
  let sum = 0;
  for (const wave of waves) {
    if (wave.length === 0) continue;
    const longest = wave.reduce((most, serial) => Math.max(most, intervals.get(serial) ?? 0), 0);
    sum += longest * Math.ceil(wave.length / concurrency) + soakS;
  }
  return sum;
}

type Needs = Pick<Parameters<typeof planRollout>[1], 'targets' | 'neededBytes'>;

/** What the artifacts say of where they run; all of them have to run there, and to fit. */
function needsOf(indexes: readonly (TarballIndex | undefined)[]): Needs {
  const named = indexes.flatMap((index) => (index?.architectures.length ? [index.architectures] : []));
  const all = [...new Set(named.flat())].filter((one) => named.every((each) => each.includes(one)));
  const neededBytes = indexes.reduce((sum, index) => sum + (index?.unpackedBytes ?? 0), 0);
  return { neededBytes, ...(named.length === 0 ? {} : { targets: all.map((one) => `linux-${one}`) }) };
}

async function findArtifacts(
  context: FleetContext,
  product: string,
  ids: readonly string[],
): Promise<{ artifacts: Artifact[]; sizes: number[]; needs: Needs }> {
  const sizes: number[] = [];
  const indexes: (TarballIndex | undefined)[] = [];
  const artifacts: Artifact[] = [];
  for (const id of ids) {
    const name = matchArtifactName(id);
    if (name === undefined)
      throw new Refusal(422, `cannot roll out '${id.slice(0, 160)}': expected NAME.vVERSION.tar.gz`);
    const content = await context.storage.findContent(product, id);
    if (content?.hasBlob !== true)
      throw new Refusal(422, `cannot roll out '${id}': it is not in the content area of this product`);
    sizes.push(content.sizeBytes);
    indexes.push(await readIndex(context, product, content));
    artifacts.push({ app: name.name, version: name.version });
  }
  return { artifacts, sizes, needs: needsOf(indexes) };
}

export function showPlan({
  artifacts,
  plan,
  durationS,
  heldBack,
  releases,
}: Planned): Record<string, unknown> {
  return {
    artifacts: artifacts.map(({ app, version }) => renderArtifactName({ name: app, version })),
    gateways: plan.waves.flat().length,
    waves: plan.waves.map((wave) => wave.length),
    durationS,
    excluded: Object.fromEntries(
      [...plan.excluded].map(([reason, serials]) => [
        reason,
        { gateways: serials.length, first: serials.slice(0, 10) },
      ]),
    ),
    ways: Object.fromEntries(plan.ways),
    heldBack: { gateways: heldBack.length, first: heldBack.slice(0, 10) },
    lowestBudgetBytes: plan.lowestBudgetBytes ?? null,
    releases: releases ?? null,
  };
}

const DAY_S = 86_400;

/** The policy, with defaults for what is not given. Refuses with 422 what could not be put into a command. */
export function policyOf(spec: Spec, artifacts: readonly Artifact[]): Policy {
  const windows = spec.windows ?? ALWAYS_OPEN;
  const problem =
    windowsProblem(windows) ?? (spec.together === true ? togetherProblem(artifacts) : undefined);
  if (problem !== undefined) throw new Refusal(422, problem);
  if (windows.ranges.length > 0 && 'problem' in parseWindows(renderWindows(windows)))
    throw new Refusal(422, 'cannot use the windows: as one line they are longer than a gateway reads');
  if (windows.zone === 'local')
    throw new Refusal(
      422,
      "cannot use time zone 'local': expected that of the gateways, such as Europe/Berlin",
    );
  return {
    limit: spec.limit ?? 0.05,
    need: spec.need ?? 0.95,
    stopsAtFailedRollback: spec.stopsAtFailedRollback ?? false,
    concurrency: spec.concurrency ?? 1000,
    soakS: spec.soakS ?? DAY_S,
    reachS: spec.reachS ?? 3 * DAY_S,
    installS: spec.installS ?? 3600,
    retriesS: spec.retriesS ?? [3600, 6 * 3600],
    windows,
    ...(spec.notBefore === undefined ? {} : { notBefore: spec.notBefore }),
    ...(spec.together === undefined ? {} : { together: spec.together }),
    ...(spec.signed === undefined ? {} : { signed: spec.signed }),
  };
}

/** Why an agent would refuse the artifacts (src/protocol/README.md, "Later and together"). */
function togetherProblem(artifacts: readonly Artifact[]): string | undefined {
  const own = artifacts.find(({ app }) => app === RESERVED_APP_NAME || app === KEYS_APP_NAME);
  if (own !== undefined) return `cannot install '${own.app}' together with others: roll it out by itself`;
  const isTwice = new Set(artifacts.map(({ app }) => app)).size < artifacts.length;
  return isTwice ? 'cannot install two versions of an app together: expected each app once' : undefined;
}
