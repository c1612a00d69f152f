import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  assertLogsOutliveReboot,
  missingLogDirectories,
} from '../../../../src/agent/admission/volatile-logs.ts';
import { BOOT_GUARD } from '../../../../src/service/boot-guard.ts';
import { createLayout } from '../../../../src/store/layout.ts';
import { renderProgram } from '../../../../src/supervisor/program.ts';

/** In memory on every Linux, and never the place of the apps. */
const MEMORY = '/dev/shm';

let memory: string;
let root: string;

before(() => {
  memory = mkdtempSync(join(MEMORY, 'gwe-logs-'));
  root = mkdtempSync('/var/tmp/gwe-logs-');
  mkdirSync(createLayout(root).appsDirectory, { recursive: true });
});
after(() => {
  for (const path of [memory, root]) rmSync(path, { recursive: true });
});

test('a log directory in memory that install.sh has made is refused, by name and with the way out', () => {
  const context = { layout: createLayout(root) };
  assert.throws(
    () => assertLogsOutliveReboot(context, 'app', [join(root, 'disk'), memory]),
    new RegExp(`'${memory}' was created by install\\.sh in memory .*gwe service install`),
  );
  assertLogsOutliveReboot(context, 'app', [root]);
});

test('the log directory of the gateway itself may be in memory, and so may what is mounted', () => {
  const layout = { ...createLayout(root), logDirectory: memory };
  assertLogsOutliveReboot({ layout }, 'app', [memory, MEMORY]);
});

test('with the boot guard in place it is taken', () => {
  const layout = createLayout(root);
  const dropIn = join(layout.unitsDirectory, 'supervisor.service.d/gwe.conf');
  for (const path of [layout.bootGuard, dropIn]) mkdirSync(dirname(path), { recursive: true });
  writeFileSync(layout.bootGuard, BOOT_GUARD);
  assert.throws(() => assertLogsOutliveReboot({ layout }, 'app', [memory]), /in memory/);
  writeFileSync(dropIn, '# written by gwe service install; changes are lost at the next one\n');
  assertLogsOutliveReboot({ layout }, 'app', [memory]);
});

test('what install.sh has to make are the log directories that are not there, by their names after expansion', () => {
  const conf = `[supervisord]\ncommand = a\nstdout_logfile = ${root}/%(program_name)s/x.log\nstderr_logfile = NONE\n`;
  const program = renderProgram('app', conf, { logDirectory: root });
  assert.deepEqual(missingLogDirectories('app', program), [join(root, 'app')]);
  assert.deepEqual(missingLogDirectories('app', undefined), []);
});
