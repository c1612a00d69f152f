/** The table of all commands, by the sections of the first page of help. */
import type { CommandSpec } from './shell/command.ts';
import type { CommandTree } from './shell/command-tree.ts';
import type { CommandSummary } from './shell/help.ts';
import { FLAG_OPTIONS } from './shell/options.ts';

interface CommandGroup extends CommandSummary {
  load(): Promise<readonly CommandSpec[]>;
}

/** Words that begin a command. They are loaded when used: a gateway that only checks in pays for none of them. */
export const COMMAND_GROUPS: readonly CommandGroup[] = [
  {
    word: 'status',
    section: 'Look',
    words: 'status',
    summary: 'who this gateway is, its check-ins and its last update',
    load: async () => [(await import('./gateway/status.ts')).statusCommand],
  },
  {
    word: 'list',
    section: 'Look',
    words: 'list',
    summary: 'the installed apps and the state of their programs',
    load: async () => [(await import('./gateway/list.ts')).listCommand],
  },
  {
    word: 'history',
    section: 'Look',
    words: 'history [APP]',
    summary: 'the last updates and how they ended',
    load: async () => [(await import('./gateway/history.ts')).historyCommand],
  },
  {
    word: 'logs',
    section: 'Look',
    words: 'logs APP',
    summary: 'what the program of an app wrote',
    load: async () => [(await import('./gateway/logs.ts')).logsCommand],
  },
  {
    word: 'install',
    section: 'Apps',
    words: 'install TARBALL...',
    summary: 'install tarballs from this machine',
    load: async () => [(await import('./gateway/install.ts')).installCommand],
  },
  {
    word: 'start',
    section: 'Apps',
    words: 'start APP',
    summary: 'start the program of an app',
    load: async () => [(await import('./gateway/control.ts')).startCommand],
  },
  {
    word: 'stop',
    section: 'Apps',
    words: 'stop APP',
    summary: 'stop it',
    load: async () => [(await import('./gateway/control.ts')).stopCommand],
  },
  {
    word: 'restart',
    section: 'Apps',
    words: 'restart APP',
    summary: 'stop and start it',
    load: async () => [(await import('./gateway/control.ts')).restartCommand],
  },
  {
    word: 'rollback',
    section: 'Apps',
    words: 'rollback APP',
    summary: 'roll back to the previous version',
    load: async () => [(await import('./gateway/rollback.ts')).rollbackCommand],
  },
  {
    word: 'cancel',
    section: 'Apps',
    words: 'cancel [APP]',
    summary: 'cancel an update that is not being activated yet',
    load: async () => [(await import('./gateway/cancel.ts')).cancelCommand],
  },
  {
    word: 'remove',
    section: 'Apps',
    words: 'remove APP',
    summary: 'remove an app',
    load: async () => [(await import('./gateway/remove.ts')).removeCommand],
  },
  {
    word: 'plan',
    section: 'Apps',
    words: 'plan TARBALL|ID',
    summary: 'what an update would do, and whether it can',
    load: async () => [(await import('./gateway/plan.ts')).planCommand],
  },
  {
    word: 'traffic',
    section: 'Look',
    words: 'traffic',
    summary: 'bytes by purpose and day, and what is left of the budget',
    load: async () => [(await import('./gateway/traffic.ts')).trafficCommand],
  },
  {
    word: 'report',
    section: 'Look',
    words: 'report',
    summary: 'the reports that the next check-in would send',
    load: async () => [(await import('./gateway/report.ts')).reportCommand],
  },
  {
    word: 'lease',
    section: 'Apps',
    words: 'lease [APP]',
    summary: 'postpone updates of an app for a while, or list who does',
    load: async () => [(await import('./gateway/lease.ts')).leaseCommand],
  },
  {
    word: 'config',
    section: 'Set up',
    words: 'config ...',
    summary: 'show and change settings',
    load: async () => (await import('./config/config.ts')).configCommands,
  },
  {
    word: 'check-in',
    section: 'Set up',
    words: 'check-in',
    summary: 'make the running gwe check in now',
    load: async () => [(await import('./gateway/check-in.ts')).checkInCommand],
  },
  {
    word: 'init',
    section: 'Make apps',
    words: 'init NAME',
    summary: 'create the directory of a new app',
    load: async () => [(await import('./developer/init.ts')).initCommand],
  },
  {
    word: 'build',
    section: 'Make apps',
    words: 'build [FILE]',
    summary: 'build a tarball from a buildfile',
    load: async () => [(await import('./developer/build-command.ts')).buildCommand],
  },
  {
    word: 'keygen',
    section: 'Make apps',
    words: 'keygen',
    summary: 'make a key to sign tarballs with',
    load: async () => [(await import('./gateway/keys.ts')).keygenCommand],
  },
  {
    word: 'sign',
    section: 'Make apps',
    words: 'sign TARBALL',
    summary: 'add a signature to a tarball',
    load: async () => [(await import('./developer/sign.ts')).signCommand],
  },
  {
    word: 'releases',
    section: 'Make apps',
    words: 'releases sign FILE',
    summary: 'the list of what gateways may install',
    load: async () => (await import('./developer/releases.ts')).releasesCommands,
  },
  {
    word: 'sign-command',
    section: 'Make apps',
    words: 'sign-command PRODUCT COMMAND',
    summary: 'print a command for gateways with a signature',
    load: async () => [(await import('./developer/sign-command.ts')).signCommandCommand],
  },
  {
    word: 'verify',
    section: 'Make apps',
    words: 'verify TARBALL',
    summary: 'who has signed a tarball, and whether it is intact',
    load: async () => [(await import('./developer/sign.ts')).verifyCommand],
  },
  {
    word: 'inspect',
    section: 'Make apps',
    words: 'inspect TARBALL',
    summary: 'what a tarball contains, and what an update to it fetches',
    load: async () => [(await import('./developer/inspect.ts')).inspectCommand],
  },
  {
    word: 'patch',
    section: 'Make apps',
    words: 'patch OLD NEW',
    summary: 'make a patch that turns one version of an app into the next',
    load: async () => [(await import('./developer/patch.ts')).patchCommand],
  },
  {
    word: 'keys',
    section: 'Set up',
    words: 'keys ...',
    summary: 'whose signatures this gateway trusts',
    load: async () => (await import('./gateway/keys.ts')).keysCommands,
  },
  {
    word: 'platform',
    section: 'Platform',
    words: 'platform ...',
    summary: 'run the embedded platform, or talk to one',
    load: async () => [
      ...(await import('./platform/platform.ts')).platformCommands,
      ...(await import('./fleet/fleet-people.ts')).serverOperatorCommands,
      (await import('./fleet/patch-worker.ts')).workerCommand,
    ],
  },
  {
    word: 'fleet',
    section: 'Platform',
    words: 'fleet ...',
    summary: 'many gateways at once: status, groups, rollouts',
    load: async () => (await import('./fleet/fleet.ts')).fleetCommands,
  },
  {
    word: 'service',
    section: 'Set up',
    words: 'service ...',
    summary: 'start gwe at every boot, or no longer',
    load: async () => (await import('./gateway/service.ts')).serviceCommands(loadTree),
  },
  {
    word: 'adopt',
    section: 'Set up',
    words: 'adopt [--dry-run]',
    summary: 'take this gateway over from the original Gateway Engine',
    load: async () => (await import('./gateway/service.ts')).adoptCommands(loadTree),
  },
  {
    word: 'completion',
    section: 'Help',
    words: 'completion SHELL',
    summary: 'a completion script for bash, zsh or fish',
    load: async () => [(await import('./shell/completion.ts')).completionCommand],
  },
  {
    word: 'man',
    section: 'Help',
    words: 'man [COMMAND]',
    summary: 'the manual page, or that of a command',
    load: async () => [(await import('./shell/man.ts')).manCommand(loadTree)],
  },
  {
    word: 'doctor',
    section: 'Look',
    words: 'doctor',
    summary: 'check for anything that would prevent an update',
    load: async () => (await import('./gateway/doctor.ts')).doctorCommands,
  },
  {
    word: 'help',
    section: 'Help',
    words: 'help [COMMAND|TOPIC]',
    summary: 'this page, a command, or a topic',
    load: async () => [(await import('./shell/help-command.ts')).helpCommand(COMMAND_GROUPS)],
  },
];

/** Everything that can be typed. */
export async function loadTree(): Promise<CommandTree> {
  const commands = await Promise.all(COMMAND_GROUPS.map((group) => group.load()));
  return { flags: FLAG_OPTIONS, commands: commands.flat() };
}
