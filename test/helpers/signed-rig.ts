/** A gateway in this process that takes signed commands alone, and the people who may sign for it. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import {
  decodeReleaseList,
  RELEASE_LIST_ID,
  renderReleaseList,
  signReleaseList,
} from '../../src/artifact/manifest/release-list.ts';
import { createSigner, type KeyPair, readPrivateKey } from '../../src/artifact/manifest/signature.ts';
import { type Addressee, signCommand } from '../../src/artifact/manifest/signed-command.ts';
import type { EngineSettings } from '../../src/config/schema.ts';
import { type CheckInRig, createCheckInRig } from './check-in-rig.ts';
import { makeIndexed, newKey } from './indexed.ts';
import type { TestPlatform } from './platform.ts';

/** Below the root, a line for each. */
const COUNT = 'echo "$GWE_APP_NAME $GWE_APP_VERSION" >> "$GWE_APP_DIR/../../../../../ran"';

/** Every install.sh that was begun, as `one 1`. */
export function ranOn({ root }: CheckInRig): string[] {
  const file = join(root, 'ran');
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
}

export const DAY_S = 86_400;

export interface Signing {
  by?: KeyPair;
  to?: Addressee;
  /** Unix milliseconds; each is higher than the one before. */
  counter?: number;
  untilS?: number;
}

/** `maker` signs artifacts, `boss` and `deputy` commands. */
export function createPeople() {
  const [maker, boss, deputy] = [newKey(), newKey(), newKey()];
  let last = Date.now();
  const nextCounter = (): number => {
    last += 1;
    return last;
  };
  const sign = (fields: object, signing: Signing = {}): Promise<string> => {
    const { by = boss, to = { product: 'p1' }, counter = nextCounter() } = signing;
    const untilS = signing.untilS ?? Math.floor(Date.now() / 1000) + DAY_S - 600;
    const signer = createSigner(readPrivateKey(by.privateKey, undefined, 'test'));
    return signCommand({ ...fields }, to, { signer, counter, until: untilS });
  };
  /** The digest of its manifest. */
  const put = async (platform: TestPlatform, app: string, version: string, exit = 0): Promise<string> => {
    const files = { 'install.sh': `#!/bin/sh\n${COUNT}\nexit ${exit}\n`, VERSION: version };
    const tarball = await makeIndexed({ name: app, version }, files, [maker]);
    await platform.putContent('p1', `${app}.v${version}.tar.gz`, tarball);
    return manifestDigest(tarball);
  };
  return { maker, boss, deputy, lister: newKey(), sign, put, nextCounter };
}
export type People = ReturnType<typeof createPeople>;

export async function createSignedRig(
  platform: TestPlatform,
  serial: string,
  people: Pick<People, 'maker' | 'boss' | 'deputy'>,
  settings: Partial<EngineSettings> = {},
): Promise<CheckInRig> {
  const wanted = { requireSignedCommands: true, httpTimeoutS: 30, ...settings };
  const rig = await createCheckInRig(platform, serial, wanted);
  mkdirSync(keysOf(rig), { recursive: true });
  trust(rig, 'maker', people.maker);
  for (const name of ['boss', 'deputy'] as const) trust(rig, name, people[name], 'powers: commands\n');
  return rig;
}

type Rooted = Pick<CheckInRig, 'root'>;

const keysOf = ({ root }: Rooted): string => join(root, 'etc/gwe/keys.d');

export function trust(rig: Rooted, name: string, key: KeyPair, lines = ''): void {
  writeFileSync(join(keysOf(rig), `${name}.pub`), `${lines}${key.publicKey}`);
}

export function distrust(rig: CheckInRig, name: string): void {
  rmSync(join(keysOf(rig), `${name}.pub`));
}

/** Names of tarballs by what they are called without their ending. */
export function installing(...names: readonly string[]): { install: { name: string }[] } {
  return { install: names.map((name) => ({ name: `${name}.tar.gz` })) };
}

/** The version that is active, '' for none. */
export function activeIn({ context }: CheckInRig, app: string): string {
  return context.installed.get(app).active?.version ?? '';
}

export function manifestDigest(tarball: Buffer): string {
  const stream = gunzipSync(tarball);
  const size = Number.parseInt(stream.toString('latin1', 124, 136), 8);
  return createHash('sha256')
    .update(stream.subarray(512, 512 + size))
    .digest('hex');
}

export interface Listing {
  release: number;
  /** `one.v1` -> digest of its manifest. */
  versions: Readonly<Record<string, string>>;
  by?: readonly KeyPair[];
  product?: string;
  /** Now, unless it says otherwise. */
  issuedS?: number;
  expiresS?: number;
  /** For gateways of this CPU alone. */
  target?: 'x64' | 'arm64' | 'armv7l';
}

/** The bytes of a release list. */
export async function listReleases({ release, versions, by = [], ...more }: Listing): Promise<Buffer> {
  const { product = 'p1', issuedS: issued = Math.floor(Date.now() / 1000), target } = more;
  const { expiresS: expires = issued + 30 * DAY_S } = more;
  const ofTarget = target === undefined ? {} : { target };
  const apps: Record<string, { version: string; digest: string }[]> = {};
  for (const [id, digest] of Object.entries(versions)) {
    const [app = '', version = ''] = id.split('.v');
    apps[app] = [...(apps[app] ?? []), { version, digest, ...ofTarget }];
  }
  let bytes = renderReleaseList({ product, release, issued, expires, apps });
  for (const { privateKey } of by)
    bytes = await signReleaseList(
      decodeReleaseList(bytes),
      createSigner(readPrivateKey(privateKey, undefined, 'test')),
    );
  return bytes;
}

export function putList(platform: TestPlatform, bytes: Buffer): Promise<void> {
  return platform.putContent('p1', RELEASE_LIST_ID, bytes);
}
