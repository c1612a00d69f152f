/** `gwe service install` and `gwe service uninstall`. */
import { adopt } from '../../adopt/adopt.ts';
import { findOriginal } from '../../adopt/find-original.ts';
import { RESERVED_APP_NAME } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { VERSION } from '../../base/version.ts';
import { loadEngineConfig } from '../../config/config-files.ts';
import type { Document, ServiceOptions } from '../../service/actions.ts';
import { installService } from '../../service/install.ts';
import { installPlatform, isPlatformInstalled, uninstallPlatform } from '../../service/platform-service.ts';
import { isInstalled, uninstallService } from '../../service/uninstall.ts';
import { platformService, programFile } from '../../store/layout.ts';
import { createSupervisorClient } from '../../supervisor/client.ts';
import { findListener } from '../../supervisor/find-supervisor.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import type { CommandTree } from '../shell/command-tree.ts';
import { COMPLETION_SCRIPTS } from '../shell/completion.ts';
import { CONFIRM_OPTIONS, confirm, DRY_RUN_OPTION } from '../shell/confirm.ts';
import { EXIT } from '../shell/exit.ts';
import { groupWords, renderGroupPage, renderManPage } from '../shell/man.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { layoutOf } from '../shell/root.ts';
import { printDocument, printParagraph } from '../shell/screen.ts';
import { platformUnit } from './service-platform.ts';

/** A person waits for it. */
const SUPERVISOR_TIMEOUT_MS = 10_000;

const TAKES_OVER =
  "'gwe adopt' takes over its key, apps and program entries ('gwe adopt --dry-run' shows what it would do)";

/** Says that the original is there; throws STORE_IO where it is in gwe's own place. */
function offerAdoption({ layout, say }: ServiceOptions): void {
  const original = findOriginal(layout);
  if (original === undefined) return;
  const inTheWay = [original.executable, original.ownEntry?.path].find(
    (path) => path === layout.launcher || path === programFile(layout, RESERVED_APP_NAME),
  );
  if (inTheWay === undefined) {
    say(`the apps of the original Gateway Engine are on this gateway: ${TAKES_OVER}`);
    return;
  }
  throw new GweError(
    'STORE_IO',
    `cannot make gwe a service: '${inTheWay}' belongs to the original Gateway Engine; nothing was changed; ${TAKES_OVER} and makes gwe a service in its place`,
  );
}

export function serviceCommands(loadTree: () => Promise<CommandTree>): readonly CommandSpec[] {
  return [
    {
      path: ['service', 'install'],
      positionals: ['[OPTION...]'],
      summary:
        'start gwe at every boot: puts the executable under opt/gwe/apps/gwe, the launcher at usr/local/bin/gwe, ' +
        'and a program entry or unit beside; configuration that is there is kept',
      options: [
        { name: 'supervisord', help: 'as a program of supervisord (this is what it does without either)' },
        { name: 'systemd', help: 'as a unit of systemd; apps still need supervisord' },
        PLATFORM_OPTION,
        DRY_RUN_OPTION,
        JSON_OPTION,
      ],
      async run(call) {
        if (call.options.has('platform'))
          return change(call, loadTree, (shared) => putPlatform(call, loadTree, shared));
        requireNoMore(call);
        if (call.options.has('supervisord') && call.options.has('systemd')) {
          throw new GweError(
            'USAGE_BAD_OPTION',
            '--supervisord and --systemd contradict each other; give one of them',
          );
        }
        return change(call, loadTree, async (shared) => {
          offerAdoption(shared);
          await installService({
            ...shared,
            manager: call.options.has('systemd') ? 'systemd' : 'supervisord',
            source: process.execPath,
            version: VERSION,
          });
        });
      },
    },
    {
      path: ['service', 'uninstall'],
      positionals: [],
      summary: 'undo service install; configuration, state and apps stay',
      options: [
        { name: 'platform', help: 'the platform; what it keeps stays' },
        ...CONFIRM_OPTIONS,
        JSON_OPTION,
      ],
      async run(call) {
        return change(call, loadTree, async (shared) => {
          if (call.options.has('platform')) return removePlatform(call, shared);
          const isAsked = !shared.isDryRun && isInstalled(shared.layout);
          if (isAsked) await confirm(call, 'stop gwe and remove its service: nothing is updated after that');
          await uninstallService(shared);
        });
      },
    },
  ];
}

const PLATFORM_OPTION = {
  name: 'platform',
  help: 'a platform on this machine instead, as a unit of systemd; behind -- the options of gwe platform serve',
};

function requireNoMore({ positionals }: CommandCall): void {
  const [stray] = positionals;
  if (stray !== undefined)
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot use '${stray}': expected nothing more without --platform; nothing was changed`,
    );
}

async function putPlatform(
  call: CommandCall,
  loadTree: () => Promise<CommandTree>,
  options: ServiceOptions,
): Promise<void> {
  const { commands } = await loadTree();
  const serve = commands.find(({ path }) => path.join(' ') === 'platform serve');
  if (serve === undefined) throw new Error('there is no gwe platform serve');
  // The unit means the machine that it starts on, whatever root it is written below.
  const { executable } = platformService({ ...options.layout, root: '/' });
  await installPlatform(options, process.execPath, platformUnit(call, serve, executable));
}

async function removePlatform(call: CommandCall, options: ServiceOptions): Promise<void> {
  if (!options.isDryRun && isPlatformInstalled(options))
    await confirm(call, 'stop the platform and remove it as a service: gateways reach nobody then');
  await uninstallPlatform(options);
}

export function adoptCommands(loadTree: () => Promise<CommandTree>): readonly CommandSpec[] {
  return [
    {
      path: ['adopt'],
      positionals: [],
      summary:
        'take this gateway over from the original Gateway Engine: its key and settings, its apps as versions that can be ' +
        'updated and rolled back, their program entries, and the launcher in the place of its executable',
      options: [
        DRY_RUN_OPTION,
        {
          name: 'keep-running',
          help: 'do not touch the running gwe: for its own install.sh, which would end with it',
        },
        JSON_OPTION,
      ],
      async run(call) {
        return change(call, loadTree, (shared) =>
          adopt({
            ...shared,
            source: process.execPath,
            version: VERSION,
            keepsRunning: call.options.has('keep-running'),
          }),
        );
      },
    },
  ];
}

/** Where Debian's shells and man look; made from the same tables as --help. */
async function renderDocuments(loadTree: () => Promise<CommandTree>): Promise<Document[]> {
  const tree = await loadTree();
  return [
    { path: 'usr/local/share/man/man8/gwe.8', text: renderManPage(tree) },
    ...groupWords(tree).map((word) => ({
      path: `usr/local/share/man/man8/gwe-${word}.8`,
      text: renderGroupPage(tree, word),
    })),
    { path: 'usr/share/bash-completion/completions/gwe', text: COMPLETION_SCRIPTS.bash },
    { path: 'usr/share/zsh/vendor-completions/_gwe', text: COMPLETION_SCRIPTS.zsh },
    { path: 'usr/share/fish/vendor_completions.d/gwe.fish', text: COMPLETION_SCRIPTS.fish },
  ];
}

/** Says a line for each thing that `work` does, or gathers them into one document: {version, isDryRun, steps: [text]}. */
async function change(
  call: CommandCall,
  loadTree: () => Promise<CommandTree>,
  work: (options: ServiceOptions) => Promise<void>,
): Promise<number> {
  const shared = await serviceOptions(call, loadTree);
  const steps: string[] = [];
  const isJson = call.options.has('json');
  await work(isJson ? { ...shared, say: (line) => void steps.push(line) } : shared);
  if (isJson) printDocument(call.io, { isDryRun: shared.isDryRun, steps });
  return EXIT.ok;
}

async function serviceOptions(
  { io, options }: CommandCall,
  loadTree: () => Promise<CommandTree>,
): Promise<ServiceOptions> {
  const layout = layoutOf(io, options);
  return {
    layout,
    isDryRun: options.has('dry-run'),
    env: io.env,
    clock: io.clock,
    documents: await renderDocuments(loadTree),
    say: (line) => printParagraph(io, line),
    supervisor: createSupervisorClient({
      ...findListener(io.env, layout.root, loadEngineConfig(layout.engineConfig).values),
      timeoutMs: SUPERVISOR_TIMEOUT_MS,
      maxAttempts: 1,
      clock: io.clock,
      signal: io.signal,
    }),
  };
}
