/** The original's way to say what to do: options without a command (one-platform.md §4.10). */
import type { ProcessControl } from '../agent/idle/handover.ts';
import { GweError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import type { Layout } from '../store/layout.ts';
import { COMMAND_GROUPS } from './commands.ts';
import type { CommandIo, ParsedOptions } from './shell/command.ts';
import { EXIT } from './shell/exit.ts';
import { FLAG_OPTIONS } from './shell/options.ts';
import { parseArguments } from './shell/parse.ts';

export interface FlagOptions {
  /** Controls the process that the agent would run in. */
  control: ProcessControl;
}

/** A developer's actions, on files of the working directory; no gateway is touched. */
const BUILD_ACTIONS = [
  'create-buildfile',
  'check-buildfile',
  'build-app',
  'check-tarball',
  'build-app-tarball',
] as const;

/** What a command line can be about; one of them at a time. */
const ACTIONS: readonly string[] = [...BUILD_ACTIONS, 'install-apps', 'download-latest', 'once'];

/** Options that mean nothing without one of others. */
const COMPANIONS: Readonly<Record<string, readonly string[]>> = {
  'app-name': ['create-buildfile', 'build-app-tarball'],
  'app-version': ['create-buildfile', 'build-app-tarball'],
  file: ['create-buildfile'],
  'sign-key': ['build-app', 'build-app-tarball'],
  'passphrase-file': ['sign-key'],
  'sign-cmd': ['sign-key'],
  'patch-from': ['build-app', 'build-app-tarball'],
  json: ['install-apps'],
};

/** Carries out the options; without any, runs the agent until a signal. */
export async function runFlags(
  argv: readonly string[],
  io: CommandIo,
  flagOptions: FlagOptions,
): Promise<number> {
  const { options, positionals } = parseArguments(argv, FLAG_OPTIONS);
  if (positionals[0] !== undefined) {
    throw new GweError(
      'USAGE_BAD_OPTION',
      `unexpected argument '${positionals[0]}'; a command comes before all options`,
    );
  }
  if (options.has('help')) {
    const [help, pager] = await Promise.all([import('./shell/help.ts'), import('./shell/pager.ts')]);
    return pager.showPage(io, help.renderMainHelp(COMMAND_GROUPS));
  }
  if (options.has('version')) {
    io.stdout(`${VERSION}\n`);
    return EXIT.ok;
  }
  const action = requireOneAction(options);
  requireCompanions(options);
  // Loaded here, for --version needs none of it, and a check-in not all.
  const layout = (await import('./shell/root.ts')).layoutOf(io, options);
  const configuring = concernsSettings(options) ? await import('./config/configure.ts') : undefined;
  const isOfThisRun = action !== undefined || SHOWS.some((name) => options.has(name));
  const level = isOfThisRun ? configuring?.readDebugLevel(options) : undefined;
  if (BUILD_ACTIONS.some((name) => name === action)) return runBuild(io, options);
  const hasSet = configuring?.configure(io, isOfThisRun ? without(options, LEVEL) : options, layout) ?? false;
  const hasShown = configuring !== undefined && show(io, options, layout, configuring);
  if (action === 'install-apps') {
    const { installApps } = await import('./gateway/install.ts');
    const isJson = options.has('json');
    return installApps(io, layout, options.list('install-apps'), { isJson, level });
  }
  const area = options.text('download-latest');
  if (area !== undefined) {
    const { downloadLatest } = await import('./gateway/download.ts');
    return downloadLatest(io, layout, area);
  }
  if ((hasSet || hasShown) && action !== 'once') return EXIT.ok;
  const { runCommand } = await import('./gateway/run.ts');
  return runCommand(io, { layout, once: action === 'once', control: flagOptions.control, level });
}

/** With an action it is the level of that run alone: it does not stay, and takes no right to write the configuration. */
const LEVEL = 'set-debug-level';

function without(options: ParsedOptions, left: string): ParsedOptions {
  return {
    has: (name) => name !== left && options.has(name),
    text: (name) => (name === left ? undefined : options.text(name)),
    list: (name) => (name === left ? [] : options.list(name)),
  };
}

/** Throws USAGE_BAD_OPTION for two actions, and for a developer's action beside options of a gateway. */
function requireOneAction(options: ParsedOptions): string | undefined {
  const given = ACTIONS.filter((name) => options.has(name));
  if (given.length > 1) throw contradiction(given);
  const [action] = given;
  const isBuild = BUILD_ACTIONS.some((name) => name === action);
  const ofGateway = FLAG_OPTIONS.map(({ name }) => name).filter(
    (name) => (name.startsWith('set') && name !== LEVEL) || SHOWS.includes(name),
  );
  const other = isBuild ? ofGateway.find((name) => options.has(name)) : undefined;
  if (action !== undefined && other !== undefined) throw contradiction([action, other]);
  return action;
}

function contradiction(names: readonly string[]): GweError {
  const list = names.map((name) => `--${name}`).join(' and ');
  return new GweError(
    'USAGE_BAD_OPTION',
    `${list} do not go together; give one of them; nothing was changed`,
  );
}

function requireCompanions(options: ParsedOptions): void {
  for (const [name, others] of Object.entries(COMPANIONS)) {
    if (!options.has(name) || others.some((other) => options.has(other))) continue;
    const list = others.map((other) => `--${other}`).join(' or ');
    throw new GweError('USAGE_BAD_OPTION', `--${name} goes only with ${list}; nothing was changed`);
  }
}

async function runBuild(io: CommandIo, options: ParsedOptions): Promise<number> {
  const { buildActions } = await import('./developer/build.ts');
  const name = options.text('app-name');
  const version = options.text('app-version');
  const file = options.text('file');
  const named = { ...(name === undefined ? {} : { name }), ...(version === undefined ? {} : { version }) };
  if (options.has('create-buildfile')) {
    return buildActions.createBuildfile(io, { ...named, ...(file === undefined ? {} : { file }) });
  }
  const signer = (await import('./developer/signing.ts')).readSigner(io, options, 'sign-key');
  const signers = signer === undefined ? [] : [signer];
  const extras = { signers, patchFrom: options.list('patch-from') };
  if (options.has('build-app-tarball')) return buildActions.buildAppTarball(io, named, extras);
  const buildfile = options.text('check-buildfile');
  if (buildfile !== undefined) return buildActions.checkBuildfile(io, buildfile);
  const tarball = options.text('check-tarball');
  if (tarball !== undefined) return buildActions.checkTarball(io, tarball);
  return buildActions.buildApp(io, options.text('build-app') ?? '', extras);
}

/** Whether anything of the configuration is to be set or shown. */
function concernsSettings(options: ParsedOptions): boolean {
  return FLAG_OPTIONS.some(
    ({ name }) =>
      (name.startsWith('set') || name === 'keep-key' || SHOWS.includes(name)) && options.has(name),
  );
}

const SHOWS: readonly string[] = ['path', 'gateway-cfg', 'engine-conf', 'gateway-cik', 'mac-address'];

function show(
  io: CommandIo,
  options: ParsedOptions,
  layout: Layout,
  { showCik, showEngineConfig, showGatewayConfig, showMacAddress }: typeof import('./config/configure.ts'),
): boolean {
  const iface = options.text('mac-address');
  const shown = [
    options.has('path') ? `${layout.appsDirectory}\n` : '',
    options.has('gateway-cfg') ? showGatewayConfig(layout) : '',
    options.has('engine-conf') ? showEngineConfig(layout) : '',
    options.has('gateway-cik') ? showCik(layout) : '',
    iface === undefined ? '' : showMacAddress(layout, iface),
  ].filter((text) => text !== '');
  io.stdout(shown.join(''));
  return shown.length > 0;
}
