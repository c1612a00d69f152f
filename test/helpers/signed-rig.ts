/** A gateway in this process that takes signed commands alone, and the people who may sign for it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSigner, type KeyPair, readPrivateKey } from '../../src/artifact/manifest/signature.ts';
import { type Addressee, signCommand } from '../../src/artifact/manifest/signed-command.ts';
import type { EngineSettings } from '../../src/config/schema.ts';
import { type CheckInRig, createCheckInRig } from './check-in-rig.ts';
import { makeIndexed, newKey } from './indexed.ts';
import type { TestPlatform } from './platform.ts';

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
  const put = async (platform: TestPlatform, app: string, version: string, exit = 0): Promise<void> => {
    const files = { 'install.sh': `#!/bin/sh\nexit ${exit}\n`, VERSION: version };
    await platform.putContent(
      'p1',
      `${app}.v${version}.tar.gz`,
      await makeIndexed({ name: app, version }, files, [maker]),
    );
  };
  return { maker, boss, deputy, sign, put, nextCounter };
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

const keysOf = ({ root }: CheckInRig): string => join(root, 'etc/gwe/keys.d');

export function trust(rig: CheckInRig, name: string, key: KeyPair, lines = ''): void {
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
