/** Where programs do not run as root, only a key that may give root does. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { readProgram } from '../../../../src/agent/admission/program-entry.ts';
import { noteProgramUser } from '../../../../src/agent/admission/program-user.ts';
import { DEFAULT_LIMITS } from '../../../../src/artifact/limits.ts';
import { extractArtifact } from '../../../../src/artifact/unpack/extract.ts';
import type { EngineSettings } from '../../../../src/config/schema.ts';
import { agentParts } from '../../../helpers/agent-parts.ts';
import { asRoot } from '../../../helpers/as-root.ts';
import { makeIndexed, newKey } from '../../../helpers/indexed.ts';

const test = asRoot(import.meta.filename);
const [alice, limited] = [newKey(), newKey()];

/** The program entry of an app that `limited` has signed, on a gateway with these settings. */
async function entryOf(
  t: TestContext,
  lines: string,
  settings: Partial<EngineSettings>,
  head = 'apps: sine\n',
) {
  const { context, layout } = agentParts(t, settings);
  mkdirSync(layout.keysDirectory, { recursive: true });
  mkdirSync(layout.stateDirectory, { recursive: true });
  writeFileSync(join(layout.keysDirectory, 'alice.pub'), alice.publicKey);
  writeFileSync(join(layout.keysDirectory, 'limited.pub'), head + limited.publicKey);
  const conf = `[supervisord]\ncommand = ./run.sh\n${lines.replace('LOGS', layout.logDirectory)}`;
  const files = { 'install.sh': '#!/bin/sh\n', 'run.sh': '#!/bin/sh\n', 'supervisor.conf': conf };
  const file = join(layout.root, 'sine.v1.tar.gz');
  writeFileSync(file, await makeIndexed({ name: 'sine', version: '1' }, files, [limited]));
  const directory = join(layout.root, 'staging');
  await extractArtifact(file, directory, { limits: DEFAULT_LIMITS });
  const program = await readProgram(context, 'sine', directory, 'before-install');
  return { text: program?.text ?? '', note: noteProgramUser(context, program?.settings ?? []) };
}

const refused =
  /sine.*: line 3: .*, expected .*: programs run as 'nobody' here; a signature by a key with 'powers: root'/;

test('a program without a user runs as programs_as, or as run_as, and the report says so', async (t) => {
  for (const settings of [
    { programsAs: 'nobody' },
    { runAs: 'nobody' },
    { programsAs: 'nobody', runAs: 'daemon' },
  ]) {
    const { text, note } = await entryOf(t, '', settings);
    assert.match(text, /^user = nobody$/m);
    assert.match(note ?? '', /runs as 'nobody'.*programs_as=root/);
  }
  for (const settings of [{}, { programsAs: 'root', runAs: 'nobody' }]) {
    const { text, note } = await entryOf(t, 'user = root\n', settings);
    assert.match(text, /^user = root$/m, 'as before');
    assert.equal(note, undefined);
  }
  assert.match((await entryOf(t, 'user = daemon\n', { runAs: 'nobody' })).text, /^user = daemon$/m);
});

for (const lines of [
  'user = root',
  'user = 0',
  'user = 00',
  'user = %(ENV_WHO)s',
  'stdout_logfile = /etc/gwe/keys.d/x.pub',
  'stderr_logfile = LOGS/../x',
]) {
  test(`'${lines}' is refused where programs do not run as root, unless the key has that power`, async (t) => {
    await assert.rejects(
      entryOf(t, `${lines}\n`, { runAs: 'nobody' }),
      lines.includes('ENV') ? /./ : refused,
    );
    await assert.rejects(entryOf(t, `${lines}\n`, { runAs: 'nobody' }, ''), /./, 'nor by a key for all apps');
    if (lines.includes('ENV')) return;
    await entryOf(t, `${lines}\n`, { runAs: 'nobody' }, 'apps: sine\npowers: root\n');
  });
}

test('a log among the logs, or none, is for every key', async (t) => {
  for (const line of ['stdout_logfile = LOGS/sine-%(process_num)s.log', 'stdout_logfile = NONE'])
    await entryOf(t, `${line}\n`, { runAs: 'nobody' });
});
