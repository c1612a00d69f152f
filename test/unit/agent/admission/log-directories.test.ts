/** supervisord opens logs as root: nobody else may be able to put a link in their place. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assertLogsProtected } from '../../../../src/agent/admission/log-directories.ts';
import { GweError } from '../../../../src/base/errors.ts';
import { agentParts } from '../../../helpers/agent-parts.ts';
import { asRoot } from '../../../helpers/as-root.ts';

const NOBODY = 65534;
const rootTest = asRoot(import.meta.filename);

/** The error about a log at `path`. */
function judge(t: TestContext, path: string, settings: { programsAs?: string } = {}): string | undefined {
  const { context } = agentParts(t, settings);
  try {
    assertLogsProtected(context, 'app', { settings: [{ key: 'stderr_logfile', value: path, line: 1 }] });
    return undefined;
  } catch (error) {
    assert.ok(error instanceof GweError && error.code === 'SUPERVISOR_PROGRAM_INVALID', String(error));
    return error.message;
  }
}

function directoryOf(t: TestContext, mode: number, owner = 0): string {
  const directory = mkdtempSync(join(tmpdir(), 'gwe-logs-'));
  t.after(() => rmSync(directory, { recursive: true }));
  chmodSync(directory, mode);
  if (owner !== 0) chownSync(directory, owner, owner);
  return directory;
}

test('a log in a directory that anybody may write to is refused, sticky or not', (t) => {
  for (const mode of [0o777, 0o1777, 0o757]) {
    const directory = directoryOf(t, mode);
    const found = judge(t, join(directory, 'a.log'));
    assert.ok(found?.includes(`anybody may write to '${directory}'`), String(found));
  }
  assert.match(String(judge(t, join(tmpdir(), '%(program_name)s.log'))), /anybody may write to/);
});

test('a log below a directory in which anybody can put another one is refused', (t) => {
  const above = directoryOf(t, 0o777);
  mkdirSync(join(above, 'logs'), { mode: 0o755 });
  assert.match(String(judge(t, join(above, 'logs/a.log'))), /anybody may write to/);
});

test("root's own directories are taken, and what is not there yet, or is no file", (t) => {
  for (const mode of [0o755, 0o700, 0o775])
    assert.equal(judge(t, join(directoryOf(t, mode), 'a.log')), undefined);
  for (const path of [join(directoryOf(t, 0o755), 'none/yet/a.log'), '/dev/null', 'AUTO', 'NONE', 'syslog'])
    assert.equal(judge(t, path), undefined, path);
});

rootTest(
  'where programs run as another user its own directory is refused for a log that root writes',
  (t) => {
    const directory = directoryOf(t, 0o755, NOBODY);
    assert.equal(
      judge(t, join(directory, 'a.log')),
      undefined,
      'a program that is root has no need of a link',
    );
    const found = judge(t, join(directory, 'a.log'), { programsAs: 'nobody' });
    assert.ok(found?.includes(`'${directory}' belongs to user ${NOBODY}`), String(found));
    assert.equal(judge(t, join(directoryOf(t, 0o755), 'a.log'), { programsAs: 'nobody' }), undefined);
  },
);
