/** The supervisord of this gateway: its configuration, its address and login, and the place of its program entries. */
import { existsSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { listDirectory } from '../base/fs.ts';
import { isUrl } from './client.ts';
import { type Listener, readSupervisordConfig, type SupervisordConfig } from './config-file.ts';
import { isSupervisorSocket } from './socket.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The settings for what gwe otherwise finds without help; empty where it should. */
interface SupervisorSettings {
  supervisorSocket: string;
  supervisorConfig: string;
  supervisorPrograms: string;
  supervisorUsername: string;
  supervisorPassword: string;
}

interface FoundConfig {
  path: string;
  /** It names files as they are; a file that only lies below the root may name them as the root's own system would. */
  isExact: boolean;
  /** How it was found, for a person. */
  by: 'setting' | 'parent' | 'running' | 'place';
}

const USUAL_CONFIGS = ['etc/supervisor/supervisord.conf', 'etc/supervisord.conf'];

const USUAL_SOCKETS = [
  'run/supervisor.sock',
  'run/supervisor/supervisor.sock',
  'var/run/supervisor.sock',
  'var/run/supervisor/supervisor.sock',
  'tmp/supervisor.sock',
  'tmp/supervisord.sock',
];

/** Where supervisord's configuration is; `undefined` where nothing says. */
function findConfigFile(
  env: Environment,
  root: string,
  { supervisorConfig }: Pick<SupervisorSettings, 'supervisorConfig'>,
): FoundConfig | undefined {
  if (supervisorConfig !== '') return { path: supervisorConfig, isExact: true, by: 'setting' };
  if (env.SUPERVISOR_SERVER_URL !== undefined && env.SUPERVISOR_SERVER_URL !== '') {
    const path = configOfProcess(process.ppid);
    if (path !== undefined && existsSync(path)) return { path, isExact: true, by: 'parent' };
  }
  const usual = USUAL_CONFIGS.map((path) => join(root, path)).filter(existsSync);
  if (usual.length === 1 && usual[0] !== undefined) return { path: usual[0], isExact: false, by: 'place' };
  const running = runningConfigs().filter((path) => existsSync(path));
  const named = running.find((path) => usual.includes(path)) ?? running.find((path) => isBelow(root, path));
  // On a real gateway one that runs by a file of nobody's place is taken only where there is no usual one.
  if (named !== undefined) return { path: named, isExact: true, by: 'running' };
  return usual[0] === undefined ? undefined : { path: usual[0], isExact: false, by: 'place' };
}

/** `-c FILE` of each supervisord that runs as root or as gwe's own user. */
function runningConfigs(): string[] {
  const found: string[] = [];
  for (const name of listDirectory('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const path = configOfProcess(Number(name));
    if (path === undefined) continue;
    const uid = statSync(`/proc/${name}`, { throwIfNoEntry: false })?.uid;
    if (uid === 0 || uid === process.getuid?.()) found.push(path);
  }
  return found;
}

/** What `-c` or `--configuration` names, if that process is a supervisord that has one. */
function configOfProcess(pid: number): string | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    // Of hundreds of processes hardly any is one.
    if (!line.includes('supervisord')) return undefined;
    const words = line.split('\0');
    const at = words.slice(0, 4).findIndex((word) => basename(word) === 'supervisord');
    if (at === -1) return undefined;
    const rest = words.slice(at + 1);
    for (const [index, word] of rest.entries()) {
      const joined = /^(?:-c|--configuration=)(.+)$/.exec(word)?.[1];
      const named = word === '-c' || word === '--configuration' ? rest[index + 1] : joined;
      if (named !== undefined && named !== '') return resolve(readlinkSync(`/proc/${pid}/cwd`), named);
    }
  } catch {
    // It has ended, or is somebody else's.
  }
  return undefined;
}

function isBelow(root: string, path: string): boolean {
  const real = (of: string): string => {
    try {
      return realpathSync(of);
    } catch {
      return of;
    }
  };
  return root === '/' || `${real(path)}/`.startsWith(`${real(root)}/`) || path.startsWith(`${root}/`);
}

/** The configuration that counts for this gateway, read. */
export function readFoundConfig(
  env: Environment,
  root: string,
  settings: Pick<SupervisorSettings, 'supervisorConfig'>,
): (SupervisordConfig & FoundConfig) | undefined {
  const found = findConfigFile(env, root, settings);
  const config = found === undefined ? undefined : readSupervisordConfig(found.path, env);
  if (found === undefined || config === undefined) return undefined;
  return {
    ...config,
    ...found,
    listeners: config.listeners.map((one) => ({
      ...one,
      address: isUrl(one.address) ? one.address : placed(root, one.address, found),
    })),
    includes: config.includes.map((pattern) => placed(root, pattern, found)),
  };
}

function placed(root: string, path: string, { isExact }: FoundConfig): string {
  return isExact || isBelow(root, existsSync(path) ? path : dirname(path)) ? path : join(root, path);
}

/**
 * How to reach it: by the settings, else by what supervisord told its children, else by its configuration, else the first
 * usual socket below `root`. Login and password are the settings', else those of the configuration for that address.
 */
export function findListener(env: Environment, root: string, settings: SupervisorSettings): Listener {
  const listeners = readFoundConfig(env, root, settings)?.listeners ?? [];
  const told = toldAddress(env.SUPERVISOR_SERVER_URL ?? '');
  const listener = chooseListener(listeners, settings.supervisorSocket || told) ?? {
    address: usualSocket(root),
  };
  if (settings.supervisorUsername === '') return listener;
  return {
    address: listener.address,
    username: settings.supervisorUsername,
    password: settings.supervisorPassword,
  };
}

function chooseListener(listeners: readonly Listener[], wanted: string | undefined): Listener | undefined {
  if (wanted === undefined || wanted === '')
    return listeners.find(({ address }) => isUrl(address) || isSupervisorSocket(address)) ?? listeners[0];
  const same = listeners.find(({ address }) => isSameAddress(address, wanted));
  // Named otherwise (localhost, a link): there is one of that kind at most.
  const login = same ?? listeners.find(({ address }) => isUrl(address) === isUrl(wanted));
  return { ...login, address: wanted };
}

function isSameAddress(one: string, other: string): boolean {
  return one.replace('//localhost:', '//127.0.0.1:') === other.replace('//localhost:', '//127.0.0.1:');
}

function toldAddress(url: string): string | undefined {
  return /^unix:\/\/(\/.+)$/.exec(url)?.[1] ?? /^http:\/\/[^/]+:\d+/.exec(url)?.[0];
}

function usualSocket(root: string): string {
  const usual = USUAL_SOCKETS.map((path) => join(root, path));
  return usual.find(isSupervisorSocket) ?? join(root, 'run/supervisor.sock');
}

/** Where program entries go and how their files are called, and the configuration that includes them. */
interface FoundPlace {
  supervisorConfig?: string;
  programsDirectory?: string;
  programPrefix?: string;
  programSuffix?: string;
}

/** As far as something says so: the setting, else the first pattern of [include] that one file for each app fits. */
export function findProgramPlace(env: Environment, root: string, settings: SupervisorSettings): FoundPlace {
  const config = readFoundConfig(env, root, settings);
  const patterns =
    settings.supervisorPrograms === '' ? (config?.includes ?? []) : [settings.supervisorPrograms];
  const places = patterns.flatMap((pattern) => placeOf(pattern) ?? []);
  const place = places.find(({ programsDirectory }) => existsSync(programsDirectory)) ?? places[0];
  return { ...place, ...(config === undefined ? {} : { supervisorConfig: config.path }) };
}

function placeOf(pattern: string): Required<Omit<FoundPlace, 'supervisorConfig'>> | undefined {
  const [, programPrefix, programSuffix] = /^([^*?[\]]*)\*([^*?[\]]*)$/.exec(basename(pattern)) ?? [];
  if (programPrefix === undefined || programSuffix === undefined || /[*?[\]]/.test(dirname(pattern)))
    return undefined;
  return {
    programsDirectory: dirname(pattern),
    programPrefix,
    programSuffix: programSuffix === '' ? '.conf' : programSuffix,
  };
}
