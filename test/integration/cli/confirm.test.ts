/** What cannot be had back is asked about first: on a terminal the person there, elsewhere it takes --yes. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { generateKey } from '../../../src/artifact/manifest/signature.ts';
import { type CommandLine, createCommandLine, screenLines } from '../../helpers/command-line.ts';
import { startPlatform, type TestPlatform } from '../../helpers/platform.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

let platform: TestPlatform;
let line: CommandLine;

before(async () => {
  platform = await startPlatform();
  line = createCommandLine();
  writeFileSync(join(line.cwd, 'token'), platform.token);
  Object.assign(line.env, {
    GWE_PLATFORM_URL: platform.url,
    GWE_PLATFORM_TOKEN_FILE: join(line.cwd, 'token'),
  });
});
after(async () => {
  line.remove();
  await platform.close();
});

interface Destruction {
  what: string;
  words: readonly string[];
  /** What the question names. */
  named: RegExp;
  make(): void | Promise<void>;
  isThere(): boolean | Promise<boolean>;
}

const LAUNCHER = 'usr/local/bin/gwe';

const destructions: readonly Destruction[] = [
  {
    what: 'remove',
    words: ['remove', 'hello'],
    named: /remove app 'hello': .*opt\/gwe\/apps\/hello\/1-/,
    make: () => {
      line.file('hello.v1.tar.gz', makeTarball({ 'install.sh': INSTALL_OK }));
      assert.equal(line.gwe('install', 'hello.v1.tar.gz').status, 0);
    },
    isThere: () => existsSync(join(line.root, 'opt/gwe/apps/hello')),
  },
  {
    what: 'keys remove of the last key',
    words: ['keys', 'remove', 'alice'],
    named: /no longer trust key 'alice', the last one: unsigned tarballs are installed/,
    make: () => {
      line.file('alice.pub', generateKey().publicKey);
      assert.equal(line.gwe('keys', 'add', 'alice.pub').status, 0);
    },
    isThere: () => existsSync(join(line.root, 'etc/gwe/keys.d/alice.pub')),
  },
  {
    what: 'platform device disable',
    words: ['platform', 'device', 'disable', 'P', 'gw-1'],
    named: /revoke the key of device 'gw-1' of product 'P'/,
    make: async () => {
      await platform.addDevice('P', 'gw-1');
    },
    isThere: async () =>
      (await line.start('platform', 'device', 'list', 'P')).stdout.includes('notactivated'),
  },
  {
    what: 'platform content delete',
    words: ['platform', 'content', 'delete', 'P', 'notes'],
    named: /delete content 'notes' of product 'P'/,
    make: async () => {
      await platform.putContent('P', 'notes', Buffer.from('text'));
    },
    isThere: async () => (await line.start('platform', 'content', 'list', 'P')).stdout.includes('notes'),
  },
];

for (const { what, words, named, make, isThere } of destructions) {
  test(`${what}: without a terminal it takes --yes, and a dry run does nothing`, async () => {
    await make();
    const refused = await line.start(...words);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr.replace(/\s+/g, ' '), named);
    assert.match(refused.stderr.replace(/\s+/g, ' '), /give --yes/);
    const dry = await line.start(...words, '--dry-run');
    assert.equal(dry.status, 0, dry.stderr);
    assert.match(dry.stdout, /^would /);
    assert.ok(await isThere(), 'still there');
    const done = await line.start(...words, '--yes');
    assert.equal(done.status, 0, done.stderr);
    assert.ok(!(await isThere()), 'gone');
  });
}

test('on a terminal the question names what would be gone; any answer but yes changes nothing', () => {
  const [remove] = destructions;
  assert.ok(remove !== undefined);
  void remove.make();
  for (const answer of ['\n', 'n\n', 'no\n', 'hello\n', '']) {
    const { status, stdout } = line.onTerminal(remove.words, answer === '' ? '\u0004' : answer);
    assert.equal(status, 1, stdout);
    const shown = screenLines(stdout).join('');
    assert.match(shown, /This will remove app 'hello':/);
    assert.match(shown, /Go on\? \[y\/N\]/);
    assert.match(shown, /nothing was changed/);
    assert.ok(remove.isThere());
  }
  assert.equal(line.onTerminal(remove.words, 'y\n').status, 0);
  assert.ok(!remove.isThere());
});

test('service uninstall asks where there is something to take away', () => {
  assert.match(line.gwe('service', 'uninstall').stdout, /^nothing to remove/);
  line.file(`../${LAUNCHER}`, '#!/bin/sh\n# gwe launcher', 0o755);
  const uninstall = line.gwe('service', 'uninstall');
  assert.match(uninstall.stdout, /^nothing to remove/, 'of another file it takes nothing');
});
