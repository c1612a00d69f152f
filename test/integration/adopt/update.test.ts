/** An update of an app that the original Gateway Engine installed: taken over on the way, without anybody's command. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { adoptForUpdate, findAdoptable } from '../../../src/adopt/adopt-program.ts';
import { lookAtSupervisor } from '../../../src/agent/admission/supervisor-ready.ts';
import { createInstalledStore } from '../../../src/store/installed-store.ts';
import { createLayout } from '../../../src/store/layout.ts';
import { createFakeSupervisor } from '../../helpers/fake-supervisor.ts';

const ORIGINAL =
  '[program:coffee]\ncommand = /bin/sleep 1000\nredirect_stderr = true\nstdout_logfile_maxbytes = 200KB\nstdout_logfile_backups = 1\nstdout_logfile = /var/log/coffee.log\n';

function gateway(t: TestContext, entry: string) {
  const root = mkdtempSync('/tmp/gwe-ad-');
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const layout = createLayout(root);
  mkdirSync(layout.programsDirectory, { recursive: true });
  const path = join(layout.programsDirectory, 'coffee.conf');
  writeFileSync(path, entry);
  const supervisor = createFakeSupervisor(layout.programsDirectory).client;
  const installed = createInstalledStore(layout);
  const update = async () => {
    const one = findAdoptable(layout, 'coffee');
    return one === undefined ? undefined : adoptForUpdate({ layout, installed, supervisor, nowMs: 1 }, one);
  };
  const look = (isTakenOver: boolean) =>
    lookAtSupervisor(
      { layout, supervisor: () => supervisor },
      { app: 'coffee', hasProgram: true, replacesProgram: false, isTakenOver },
    );
  return { installed, update, look, read: () => readFileSync(path, 'utf8') };
}

test('an entry that the original wrote becomes gwe’s, with a version to go back to', async (t) => {
  const { installed, update, read } = gateway(t, ORIGINAL);
  assert.match((await update()) ?? '', /taken over.*version unknown/);
  assert.match(read(), /^; written by gwe for coffee;/);
  assert.ok(read().endsWith(ORIGINAL));
  assert.equal(installed.get('coffee').active?.hasProgram, true);
  assert.equal(await update(), undefined, 'once');
});

test('an entry that somebody wrote by hand stays as it is', async (t) => {
  const text = ORIGINAL.replace('200KB', '1MB');
  const { installed, update, read } = gateway(t, text);
  assert.equal(await update(), undefined);
  assert.equal(read(), text);
  assert.equal(installed.get('coffee').active, undefined);
});

test('a plan for it sees no foreign program, and changes nothing', async (t) => {
  const { look, read } = gateway(t, ORIGINAL);
  assert.equal(await look(true), undefined);
  assert.equal(read(), ORIGINAL);
  await assert.rejects(look(false), /SUPERVISOR_FOREIGN_PROGRAM|belongs to the original/);
});
