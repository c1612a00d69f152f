/** An update that people have signed: its command, its tarballs, and a release list that comes with it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createCommandCounters } from '../../src/store/command-counters.ts';
import { createLayout } from '../../src/store/layout.ts';
import { highestListRelease, readReleaseList } from '../../src/store/release-lists.ts';
import { PRODUCT } from './fault-rig.ts';
import { entriesOf, type FaultUpdate } from './fault-updates.ts';
import { makeIndexed } from './indexed.ts';
import type { TestPlatform } from './platform.ts';
import { createPeople, installing, listReleases, manifestDigest, putList, trust } from './signed-rig.ts';

export function createSignedUpdate(): FaultUpdate {
  const people = createPeople();
  const versions: Record<string, string> = {};
  const to = { product: PRODUCT };
  let counter = 0;
  const publish = async (platform: TestPlatform, release: number): Promise<void> =>
    putList(platform, await listReleases({ release, versions, by: [people.lister], product: PRODUCT }));
  return {
    name: 'a signed command and release list',
    outcome: 'installed',
    isSupervised: false,
    mostBytes: 20_000,
    async upload(platform) {
      for (const version of ['1', '2']) {
        const tarball = await makeIndexed({ name: 'one', version }, entriesOf(version), [people.maker]);
        await platform.putContent(PRODUCT, `one.v${version}.tar.gz`, tarball, '');
        versions[`one.v${version}`] = manifestDigest(tarball);
      }
      await publish(platform, 1);
    },
    signed: {
      settings: { require_signed_commands: 'on' },
      prepare(root) {
        mkdirSync(join(root, 'etc/gwe/keys.d'), { recursive: true });
        trust({ root }, 'maker', people.maker);
        trust({ root }, 'boss', people.boss, 'powers: commands\n');
        trust({ root }, 'lister', people.lister, 'powers: releases\n');
      },
      first: () => people.sign(installing('one.v1'), { to }),
      async begin(platform) {
        await publish(platform, 2);
        counter = people.nextCounter();
        return people.sign(installing('one.v2'), { to, counter });
      },
      forgotten(root) {
        const layout = createLayout(root);
        const kept = createCommandCounters(layout.commandCounters).read()?.get(people.boss.keyId)?.counter;
        const lists = [highestListRelease(layout), readReleaseList(layout)?.list.release];
        return [
          ...(kept === counter ? [] : [`the counter is ${kept}, not ${counter}`]),
          ...(lists.every((release) => release === 2) ? [] : [`the lists are ${lists.join(', ')}, not 2`]),
        ];
      },
    },
  };
}
