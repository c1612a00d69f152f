/** Which proxy a request goes through, by the usual environment variables. */
import { BlockList, isIP } from 'node:net';
import { GweError } from '../base/errors.ts';

export interface ForwardProxy {
  kind: 'http' | 'https' | 'socks5';
  host: string;
  port: number;
  /** Secret. */
  credentials: { username: string; password: string } | undefined;
  /** Value of Proxy-Authorization; secret. */
  authorization: string | undefined;
  /** `http://host:port` or the like, without the password: fit for errors. */
  label: string;
  /** The variable it came from. */
  variable: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for `target`: HTTPS_PROXY or HTTP_PROXY by the target's scheme, else ALL_PROXY; lower-case names win.
 * None for loopback hosts and for what NO_PROXY names. Throws CONFIG_INVALID for a proxy of a kind that gwe does not
 * speak to.
 */
export function selectProxy(target: URL, env: Environment): ForwardProxy | undefined {
  if (isLoopbackHost(target.hostname) || isExempt(target, firstSet(env, 'no_proxy', 'NO_PROXY')?.value)) {
    return undefined;
  }
  const scheme = target.protocol === 'https:' ? 'https_proxy' : 'http_proxy';
  const found = firstSet(env, scheme, scheme.toUpperCase(), 'all_proxy', 'ALL_PROXY');
  return found === undefined ? undefined : parseProxy(found.value, found.name);
}

/** Whether `host` can only be this machine, so that plain HTTP reveals nothing. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function firstSet(env: Environment, ...names: string[]): { name: string; value: string } | undefined {
  for (const name of names) {
    // Quotes that a shell would have taken off: an EnvironmentFile or supervisord leaves them.
    const value = env[name]
      ?.trim()
      .replace(/^(['"])(.*)\1$/, '$2')
      .trim();
    if (value !== undefined && value !== '') return { name, value };
  }
  return undefined;
}

interface Scheme {
  kind: ForwardProxy['kind'];
  defaultPort: number;
}

/** SOCKS without a number is version 5 (curl, Python). */
const SCHEMES: Readonly<Record<string, Scheme>> = {
  'http:': { kind: 'http', defaultPort: 80 },
  'https:': { kind: 'https', defaultPort: 443 },
  'socks5:': { kind: 'socks5', defaultPort: 1080 },
  'socks5h:': { kind: 'socks5', defaultPort: 1080 },
  'socks:': { kind: 'socks5', defaultPort: 1080 },
};

function parseProxy(value: string, variable: string): ForwardProxy {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const scheme = url === undefined ? undefined : SCHEMES[url.protocol];
  if (url === undefined || scheme === undefined || url.hostname === '') {
    const found = url === undefined ? 'not a URL' : `a '${url.protocol}//' proxy`;
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use the proxy of ${variable}: ${found}, expected http://HOST:PORT, https:// or socks5://`,
    );
  }
  const port = url.port === '' ? scheme.defaultPort : Number(url.port);
  const credentials =
    url.username === ''
      ? undefined
      : { username: decodeOrKeep(url.username), password: decodeOrKeep(url.password) };
  return {
    kind: scheme.kind,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port,
    credentials,
    authorization: credentials === undefined ? undefined : basic(credentials),
    label: `${url.protocol}//${url.hostname}:${port}`,
    variable,
  };
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

function decodeOrKeep(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * NO_PROXY entries: `*`, a host, a domain (with or without a leading dot: itself and all below it), each with an
 * optional port; `ADDRESS/BITS` for targets that are addresses (names are not looked up for it).
 */
function isExempt(target: URL, list: string | undefined): boolean {
  const host = target.hostname.toLowerCase().replace(/^\[|\]$/g, '');
  const port = target.port === '' ? (target.protocol === 'https:' ? '443' : '80') : target.port;
  return (list ?? '')
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === '*' || isWithin(host, entry)) return true;
      const match = /^(?:\*?\.)?(\[[0-9a-f:.]+\]|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*|[^:]+)(?::(\d+))?$/.exec(
        entry,
      );
      const name = match?.[1]?.replace(/^\[|\]$/g, '');
      if (name === undefined || (match?.[2] !== undefined && match[2] !== port)) return false;
      return host === name || host.endsWith(`.${name}`);
    });
}

/** Whether the address `host` is in the network `entry`. */
function isWithin(host: string, entry: string): boolean {
  const [, network = '', bits = ''] = /^\[?([0-9a-f.:]+)\]?\/(\d{1,3})$/.exec(entry) ?? [];
  const version = isIP(network);
  if (version === 0 || isIP(host) !== version || Number(bits) > (version === 4 ? 32 : 128)) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(network, Number(bits), family);
  return list.check(host, family);
}
