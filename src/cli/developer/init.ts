/** `gwe init NAME`: the directory of a new app, which can be built and installed as it is. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeBuildfile,
  defaultBuildfile,
  describeBuildfileProblem,
  renderBuildfile,
} from '../../artifact/make/buildfile.ts';
import { GweError } from '../../base/errors.ts';
import { writeFileDurable } from '../../base/fs.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { absolutePath } from '../shell/path.ts';
import { printDocument } from '../shell/screen.ts';
import { USUAL_BUILDFILE } from './build-command.ts';

export const initCommand: CommandSpec = {
  path: ['init'],
  positionals: ['NAME'],
  summary: 'Create the directory NAME with an app that can be built and installed as it is',
  options: [JSON_OPTION],
  run: runInit,
};

const SCRIPTS: Readonly<Record<string, string>> = {
  'install.sh': `#!/bin/sh
# Run once for each version, in its directory, as root as a rule. It may run twice: a second run must do no harm.
set -e
echo "$GWE_APP_NAME $GWE_APP_VERSION: nothing to prepare"
`,
  'health.sh': `#!/bin/sh
# Run when the program has settled. Any status but 0 goes back to the version before.
exit 0
`,
  'run.sh': `#!/bin/sh
# The program: it stays in the foreground, and supervisord starts it again. What it prints is in 'gwe logs'.
echo "running in $PWD"
while :; do sleep 60; done
`,
};

const PROGRAM = `[supervisord]
; ./ is the directory of the version. The program runs in its data directory, which outlives versions.
command = ./run.sh
`;

async function runInit({ io, options, positionals }: CommandCall): Promise<number> {
  const [name = ''] = positionals;
  const includes = [...Object.keys(SCRIPTS), 'supervisor.conf'];
  const buildfile = renderBuildfile({ ...defaultBuildfile(name), includes });
  const decoded = decodeBuildfile(buildfile);
  if ('problems' in decoded) {
    const problems = decoded.problems.map(describeBuildfileProblem).join('; ');
    throw new GweError('USAGE_BAD_VALUE', `cannot create an app of that name: ${problems}`);
  }
  const directory = absolutePath(io, name);
  if (existsSync(directory))
    throw new GweError('USAGE_BAD_VALUE', `cannot create '${directory}': it exists, expected a new name`);
  mkdirSync(directory);
  for (const [file, text] of Object.entries(SCRIPTS)) writeFileDurable(join(directory, file), text, 0o755);
  writeFileDurable(join(directory, 'supervisor.conf'), PROGRAM);
  writeFileDurable(join(directory, USUAL_BUILDFILE), buildfile);
  writeFileDurable(join(directory, 'README.md'), renderReadme(name));
  if (options.has('json')) printDocument(io, { name, directory });
  else
    io.stdout(
      `Created ${directory}\n\nTry it:\n  cd ${name}\n  gwe build\n  gwe install ${name}.v1.tar.gz\n`,
    );
  return EXIT.ok;
}

function renderReadme(name: string): string {
  return `# ${name}

| file | what it is for |
| --- | --- |
| \`${USUAL_BUILDFILE}\` | name, version and what is packed; every other version is an update |
| \`install.sh\` | run once for each version |
| \`supervisor.conf\` | the program that supervisord runs; without it nothing is started |
| \`health.sh\` | whether the program works |
| \`run.sh\` | the program |

    gwe build                        # prints the path of ${name}.v1.tar.gz
    gwe --check-tarball ${name}.v1.tar.gz
    gwe install ${name}.v1.tar.gz    # on a gateway
    gwe logs ${name}
`;
}
