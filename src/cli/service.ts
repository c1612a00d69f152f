/** `gwe service install` and `gwe service uninstall`. */

import { GweError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { loadEngineConfig } from '../config/files.ts';
import type { Document, ServiceOptions } from '../service/actions.ts';
import { installService } from '../service/install.ts';
import { uninstallService } from '../service/uninstall.ts';
import { createSupervisorClient, findSupervisorSocket } from '../supervisor/client.ts';
import type { CommandCall, CommandSpec, OptionSpec } from './command.ts';
import type { CommandTree } from './command-tree.ts';
import { renderBash, renderZsh } from './completion.ts';
import { EXIT } from './exit.ts';
import { renderManPage } from './man.ts';
import { layoutOf } from './root.ts';
import { printParagraph } from './screen.ts';

/** A person waits for it. */
const SUPERVISOR_TIMEOUT_MS = 10_000;

const DRY_RUN: OptionSpec = { name: 'dry-run', help: 'say what would be done, and do nothing' };

export function serviceCommands(loadTree: () => Promise<CommandTree>): readonly CommandSpec[] {
  return [
    {
      path: ['service', 'install'],
      positionals: [],
      summary:
        'start gwe at every boot: puts the executable under opt/gwe/apps/gwe, the launcher at usr/local/bin/gwe, ' +
        'and a program entry or unit beside; configuration that is there is kept',
      options: [
        { name: 'supervisord', help: 'as a program of supervisord (this is what it does without either)' },
        { name: 'systemd', help: 'as a unit of systemd; apps still need supervisord' },
        DRY_RUN,
      ],
      async run(call) {
        if (call.options.has('supervisord') && call.options.has('systemd')) {
          throw new GweError(
            'USAGE_BAD_OPTION',
            '--supervisord and --systemd contradict each other; give one of them',
          );
        }
        await installService({
          ...(await serviceOptions(call, loadTree)),
          manager: call.options.has('systemd') ? 'systemd' : 'supervisord',
          source: process.execPath,
          version: VERSION,
        });
        return EXIT.ok;
      },
    },
    {
      path: ['service', 'uninstall'],
      positionals: [],
      summary: 'undo service install; configuration, state and apps stay',
      options: [DRY_RUN],
      async run(call) {
        await uninstallService(await serviceOptions(call, loadTree));
        return EXIT.ok;
      },
    },
  ];
}

/** Where Debian's shells and man look; made from the same tables as --help. */
async function renderDocuments(loadTree: () => Promise<CommandTree>): Promise<Document[]> {
  const tree = await loadTree();
  return [
    { path: 'usr/local/share/man/man8/gwe.8', text: renderManPage(tree) },
    { path: 'usr/share/bash-completion/completions/gwe', text: renderBash(tree) },
    { path: 'usr/share/zsh/vendor-completions/_gwe', text: renderZsh(tree) },
  ];
}

async function serviceOptions(
  { io, options }: CommandCall,
  loadTree: () => Promise<CommandTree>,
): Promise<ServiceOptions> {
  const layout = layoutOf(io, options);
  const { supervisorSocket } = loadEngineConfig(layout.engineConfig).values;
  return {
    layout,
    isDryRun: options.has('dry-run'),
    env: io.env,
    clock: io.clock,
    documents: await renderDocuments(loadTree),
    say: (line) => printParagraph(io, line),
    supervisor: createSupervisorClient({
      socketPath: findSupervisorSocket(io.env, layout.root, supervisorSocket),
      timeoutMs: SUPERVISOR_TIMEOUT_MS,
      maxAttempts: 1,
      clock: io.clock,
      signal: io.signal,
    }),
  };
}
