/** What supervisord's own configuration says: how it can be reached, and where it takes programs from. */
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { listDirectory, readTextBounded } from '../base/fs.ts';
import { type IniSection, parseIni } from '../base/ini.ts';
import { expand } from './expand.ts';

/** Where supervisord listens, and what it wants to hear. */
export interface Listener {
  /** Path of a UNIX socket, or `http://HOST:PORT`. */
  address: string;
  username?: string;
  /** Absent where the file holds only its hash. */
  password?: string;
}

export interface SupervisordConfig {
  path: string;
  /** Every file that was read: this one and those it includes. */
  files: ConfigFile[];
  /** The UNIX socket first. */
  listeners: Listener[];
  /** The patterns of [include], absolute. */
  includes: string[];
  /** Without this section it accepts no calls. */
  hasRpcInterface: boolean;
}

interface ConfigFile {
  path: string;
  sections: IniSection[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const CONFIG_LIMIT_BYTES = 1024 * 1024;
/** More files than anybody includes. */
const MOST_FILES = 1000;

/** Those that can be read, however supervisord finds them. */
export function readConfigFiles(paths: readonly string[]): ConfigFile[] {
  return paths.flatMap((path) => readSections(path) ?? []);
}

/** `undefined` if there is no such file, or none that gwe may read. */
export function readSupervisordConfig(path: string, env: Environment): SupervisordConfig | undefined {
  const main = readSections(path);
  if (main === undefined) return undefined;
  const here = dirname(path);
  const expandAt = (directory: string, text: string): string => expanded(text, directory, env);
  const includes = (optionOf([main], 'include', 'files')?.value ?? '')
    .split(/\s+/)
    .filter((pattern) => pattern !== '')
    .map((pattern) => resolve(here, expandAt(here, pattern)));
  const paths = [...new Set(includes.flatMap(matchingFiles))].slice(0, MOST_FILES);
  const files = [main, ...paths.flatMap((file) => readSections(file) ?? [])];
  return {
    path,
    files,
    listeners: [
      listenerOf(files, 'unix_http_server', env),
      listenerOf(files, 'inet_http_server', env),
    ].filter((listener) => listener !== undefined),
    includes,
    hasRpcInterface: files.some(({ sections }) =>
      sections.some(({ name }) => name.startsWith('rpcinterface:')),
    ),
  };
}

function readSections(path: string): ConfigFile | undefined {
  try {
    const text = readTextBounded(path, CONFIG_LIMIT_BYTES);
    return text === undefined ? undefined : { path, sections: parseIni(text).sections };
  } catch {
    return undefined;
  }
}

interface Option {
  value: string;
  /** The file that contains it. */
  path: string;
}

/** The last one counts, as for supervisord. */
function optionOf(files: readonly ConfigFile[], section: string, key: string): Option | undefined {
  let found: Option | undefined;
  for (const { path, sections } of files)
    for (const { name, entries } of sections)
      for (const entry of entries)
        if (name === section && entry.key === key) found = { value: entry.value, path };
  return found;
}

function listenerOf(
  files: readonly ConfigFile[],
  section: 'unix_http_server' | 'inet_http_server',
  env: Environment,
): Listener | undefined {
  const isUnix = section === 'unix_http_server';
  const where = optionOf(files, section, isUnix ? 'file' : 'port');
  if (where === undefined) return undefined;
  const address = isUnix ? expanded(where.value, dirname(where.path), env) : inetAddress(where.value);
  if (address === undefined) return undefined;
  const login = (name: string): string | undefined => {
    const option = optionOf(files, section, name);
    return option === undefined ? undefined : expanded(option.value, dirname(option.path), env);
  };
  const username = login('username');
  const password = login('password');
  return {
    address,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined || password.startsWith('{SHA}') ? {} : { password }),
  };
}

/** `PORT`, `:PORT`, `*:PORT` or `HOST:PORT`; all addresses of the machine hold this one too. */
function inetAddress(text: string): string | undefined {
  const [, host = '', port] = /^(?:(.*):)?(\d{1,5})$/.exec(text.trim()) ?? [];
  if (port === undefined) return undefined;
  const isAll = host === '' || host === '*' || host === '0.0.0.0';
  return `http://${isAll ? '127.0.0.1' : host}:${port}`;
}

/** supervisord 3 takes what it does not expand as it is; so does this. */
function expanded(text: string, here: string, env: Environment): string {
  const names: Record<string, string> = { here, host_node_name: hostname() };
  for (const [name, value] of Object.entries(env)) if (value !== undefined) names[`ENV_${name}`] = value;
  const result = expand(text, names);
  return result.ok ? result.text : text;
}

/** Wildcards count in the last part alone: nobody includes otherwise. */
function matchingFiles(pattern: string): string[] {
  const directory = dirname(pattern);
  const wanted = wildcard(basename(pattern));
  try {
    return listDirectory(directory)
      .filter((name) => wanted.test(name))
      .sort()
      .map((name) => join(directory, name));
  } catch {
    return [];
  }
}

/** As Python's glob has it: a leading dot must be named. */
function wildcard(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.')
    .replace(/\[!/g, '[^');
  const start = pattern.startsWith('.') ? '' : '(?!\\.)';
  try {
    return new RegExp(`^${start}${source}$`, 's');
  } catch {
    return /^(?!)/;
  }
}

/**
 * Whose program or group an app's name is, in any of the files but the app's own at `ownPath`; `undefined` for
 * nobody's.
 */
export function findOwner(
  files: readonly ConfigFile[],
  app: string,
  ownPath: string,
): { path: string; section: string; isGroup: boolean } | undefined {
  let named: ReturnType<typeof findOwner>;
  for (const { path, sections } of files) {
    if (path === ownPath) continue;
    for (const { name, entries } of sections) {
      const programs = entries.findLast(({ key }) => key === 'programs')?.value ?? '';
      const isMember = name.startsWith('group:') && programs.split(/[\s,]+/).includes(app);
      const isNamed =
        /^(?:program|group|eventlistener|fcgi-program):/.test(name) &&
        name.slice(name.indexOf(':') + 1).trim() === app;
      if (isMember) return { path, section: name, isGroup: true };
      if (isNamed) named ??= { path, section: name, isGroup: false };
    }
  }
  return named;
}
