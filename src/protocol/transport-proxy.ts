/** Which proxy a request goes through, by the usual environment variables. */
import { GweError } from '../base/errors.ts';

export interface HttpProxy {
  host: string;
  port: number;
  /** Value of Proxy-Authorization; secret. */
  authorization: string | undefined;
  /** `http://host:port`, without the password: fit for errors. */
  label: string;
  /** The variable it came from. */
  variable: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for `target`: HTTPS_PROXY or HTTP_PROXY by the target's scheme, else ALL_PROXY; lower-case names win.
 * None for loopback hosts and for what NO_PROXY names. Throws CONFIG_INVALID for a proxy of another kind than http://.
 */
export function selectProxy(target: URL, env: Environment): HttpProxy | undefined {
  if (isLoopbackHost(target.hostname) || isExempt(target, firstSet(env, 'no_proxy', 'NO_PROXY')?.value)) {
    return undefined;
  }
  const scheme = target.protocol === 'https:' ? 'https_proxy' : 'http_proxy';
  const found = firstSet(env, scheme, scheme.toUpperCase(), 'all_proxy', 'ALL_PROXY');
  return found === undefined ? undefined : parseProxy(found.value, found.name);
}

/** Whether `host` can only be this machine, so that plain HTTP shows nothing to anybody. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function firstSet(env: Environment, ...names: string[]): { name: string; value: string } | undefined {
  for (const name of names) {
    const value = env[name]?.trim();
    if (value !== undefined && value !== '') return { name, value };
  }
  return undefined;
}

function parseProxy(value: string, variable: string): HttpProxy {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.protocol !== 'http:' || url.hostname === '') {
    const found = url === undefined ? 'not a URL' : `a '${url.protocol}//' proxy`;
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use the proxy of ${variable}: ${found}, expected http://HOST:PORT`,
    );
  }
  const port = url.port === '' ? 80 : Number(url.port);
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port,
    authorization: url.username === '' ? undefined : basic(url.username, url.password),
    label: `http://${url.hostname}:${port}`,
    variable,
  };
}

function basic(username: string, password: string): string {
  const text = `${decodeOrKeep(username)}:${decodeOrKeep(password)}`;
  return `Basic ${Buffer.from(text, 'utf8').toString('base64')}`;
}

function decodeOrKeep(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** NO_PROXY entries: `*`, a host, a domain (with or without a leading dot: itself and all below it), each with an optional port. */
function isExempt(target: URL, list: string | undefined): boolean {
  const host = target.hostname.toLowerCase().replace(/^\[|\]$/g, '');
  const port = target.port === '' ? (target.protocol === 'https:' ? '443' : '80') : target.port;
  return (list ?? '')
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === '*') return true;
      const match = /^(?:\*?\.)?(\[[0-9a-f:.]+\]|[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*|[^:]+)(?::(\d+))?$/.exec(
        entry,
      );
      const name = match?.[1]?.replace(/^\[|\]$/g, '');
      if (name === undefined || (match?.[2] !== undefined && match[2] !== port)) return false;
      return host === name || host.endsWith(`.${name}`);
    });
}
