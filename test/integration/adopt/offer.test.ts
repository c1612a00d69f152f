/** What gwe tells on a gateway of the original Gateway Engine before `gwe adopt` was typed. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createCommandLine } from '../../helpers/command-line.ts';
import { FROM_SOURCE } from '../../helpers/gateway.ts';
import { runGwe } from '../../helpers/run-gwe.ts';
import { INSTALL_OK, makeTarball } from '../../helpers/tarball.ts';

const SCRIPT = '#!/usr/bin/python\n# EASY-INSTALL: GatewayEngine==1.1.4\n';
const LAUNCHER = 'usr/local/bin/gwe';
const ENTRY = 'etc/supervisor/conf.d/coffee.conf';
const COFFEE =
  '[program:coffee]\ncommand = /bin/sleep 1000\nredirect_stderr = true\nstdout_logfile_maxbytes = 200KB\nstdout_logfile_backups = 1\nstdout_logfile = /var/log/coffee.log\n';

function gateway(t: TestContext, files: Record<string, string>) {
  const line = createCommandLine();
  t.after(() => line.remove());
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(line.root, path)), { recursive: true });
    writeFileSync(join(line.root, path), text);
  }
  return line;
}

const IN_PLACE = {
  'its script': { [LAUNCHER]: SCRIPT },
  'its program entry': {
    'etc/supervisor/conf.d/gwe.conf': '[program:gwe]\ncommand = /usr/bin/python /usr/local/bin/gwe\n',
  },
};

for (const [what, files] of Object.entries(IN_PLACE)) {
  test(`service install sends to gwe adopt where ${what} stands, and changes nothing`, async (t) => {
    const line = gateway(t, files);
    for (const more of [[], ['--dry-run'], ['--systemd']]) {
      const { status, stdout, stderr } = line.gwe('service', 'install', ...more);
      assert.deepEqual([status, stdout], [1, '']);
      assert.match(
        stderr.replace(/\s+/g, ' '),
        /belongs to the original Gateway Engine; nothing was changed; 'gwe adopt' takes/,
      );
      assert.doesNotMatch(stderr, /mv '|rename/);
    }
    for (const [path, text] of Object.entries(files))
      assert.equal(readFileSync(join(line.root, path), 'utf8'), text);
    assert.ok(!existsSync(join(line.root, 'opt')));
    const doctor = await runGwe([...FROM_SOURCE, 'doctor', '--json'], { GWE_ROOT: line.root });
    const { checks } = JSON.parse(doctor.stdout) as { checks: { id: string; mend?: string }[] };
    assert.equal(checks.find(({ id }) => id === 'service')?.mend, "run 'gwe adopt'");
  });
}

test('plan tells of what the update takes over, and of no foreign program', (t) => {
  const line = gateway(t, { [ENTRY]: COFFEE });
  line.file(
    'coffee.v2.tar.gz',
    makeTarball({ 'install.sh': INSTALL_OK, 'supervisor.conf': '[supervisord]\ncommand = sleep 9\n' }),
  );
  const plan = line.json('plan', 'coffee.v2.tar.gz', '--json');
  assert.match(
    JSON.stringify(plan.notes),
    /version unknown of the original Gateway Engine .* taken over first/,
  );
  assert.doesNotMatch(JSON.stringify(plan.refusal), /FOREIGN/);
  assert.equal(readFileSync(join(line.root, ENTRY), 'utf8'), COFFEE);
});

test('an app in a group of the operator is refused by plan and update, and its entry stays', (t) => {
  const line = gateway(t, {
    [ENTRY]: COFFEE,
    'etc/supervisor/conf.d/group.conf': '[group:site]\nprograms = coffee, tea\n',
  });
  for (const app of ['coffee', 'tea']) {
    line.file(`${app}.v2.tar.gz`, makeTarball({ 'install.sh': INSTALL_OK }));
    const plan = line.json('plan', `${app}.v2.tar.gz`, '--json');
    assert.match(JSON.stringify(plan.refusal), /SUPERVISOR_FOREIGN_PROGRAM.*\[group:site\]/);
    const { status, stderr, stdout } = line.gwe('-I', `${app}.v2.tar.gz`);
    assert.notEqual(status, 0);
    assert.match(`${stdout}${stderr}`.replace(/\s+/g, ' '), /\[group:site\]/);
  }
  assert.equal(readFileSync(join(line.root, ENTRY), 'utf8'), COFFEE);
});
