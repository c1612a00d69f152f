import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { ServiceOptions } from '../../../src/service/actions.ts';
import { installGuard, isGuarded, removeGuard } from '../../../src/service/guard-hooks.ts';
import { createLayout, type Layout } from '../../../src/store/layout.ts';

const DEFAULTS = '# Defaults for supervisor initscript\n\nDAEMON_OPTS=""\n';
const INIT = '#! /bin/sh\nif [ -f /etc/default/supervisor ] ; then\n\t. /etc/default/supervisor\nfi\n';

let root: string;
let layout: Layout;
let said: string[];
let options: ServiceOptions;

beforeEach(() => {
  root = mkdtempSync('/tmp/gwe-hooks-');
  layout = createLayout(root);
  said = [];
  const say = (line: string): void => void said.push(line);
  options = { layout, isDryRun: false, say } as unknown as ServiceOptions;
});
afterEach(() => rmSync(root, { recursive: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

test('a line in the defaults of the init script runs the guard for start alone, and goes without a trace', async () => {
  put(layout.supervisorInit, INIT);
  put(layout.supervisorDefaults, DEFAULTS);
  await installGuard(options);
  await installGuard(options);
  assert.ok(isGuarded(layout));
  assert.match(said.join('\n'), /configuration file of the package supervisor: .* keep this version/);
  const ran = join(root, 'ran');
  writeFileSync(layout.bootGuard, `#!/bin/sh\necho ran >>${ran}\nexit 7\n`);
  const init = `set -e; . ${layout.supervisorDefaults}; echo "$1"`;
  for (const action of ['stop', 'start', 'status']) {
    const { status, stdout } = spawnSync('/bin/sh', ['-c', init, 'init', action], { encoding: 'utf8' });
    assert.deepEqual([status, stdout], [0, `${action}\n`], 'what it exits with does not matter');
  }
  assert.equal(readFileSync(ran, 'utf8'), 'ran\n');
  await removeGuard(options);
  assert.equal(readFileSync(layout.supervisorDefaults, 'utf8'), DEFAULTS);
});

test('a unit gets a drop-in whose failure is ignored', async () => {
  put(join(root, 'lib/systemd/system/supervisord.service'), '[Service]\n');
  await installGuard(options);
  const dropIn = join(root, 'etc/systemd/system/supervisord.service.d/gwe.conf');
  assert.match(
    readFileSync(dropIn, 'utf8'),
    new RegExp(`^\\[Service\\]\\nExecStartPre=-${layout.bootGuard}$`, 'm'),
  );
  assert.ok(isGuarded(layout));
  await removeGuard(options);
  assert.ok(!existsSync(dropIn) && !existsSync(layout.bootGuard) && !isGuarded(layout));
});

test('where neither starts supervisord it is said what to do, and nothing counts as guarded', async () => {
  put(layout.supervisorDefaults, DEFAULTS);
  await installGuard(options);
  assert.equal(isGuarded(layout), false);
  assert.match(said.at(-1) ?? '', /^no boot guard: .*to do: have .* run right before supervisord/);
  assert.equal(readFileSync(layout.supervisorDefaults, 'utf8'), DEFAULTS);
});
