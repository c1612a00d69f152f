/** Options that several platform commands share, and the client made from them. */

import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { GweError } from '../../base/errors.ts';
import { readTextBounded } from '../../base/fs.ts';
import { LIST_OPTIONS } from '../output/listing.ts';
import type { CommandCall, CommandIo, OptionSpec } from '../shell/command.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { readLastServed } from './last-served.ts';
import { type ClientReply, createPlatformClient, firstLine, type PlatformClient } from './platform-client.ts';

const MAX_FILE_BYTES = 1024 * 1024;

export const CLIENT_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'url',
    value: 'URL',
    help: "the platform to talk to [env: GWE_PLATFORM_URL]; else your last 'gwe platform serve' on this machine",
  },
  {
    name: 'token-file',
    value: 'FILE',
    help: 'file with its admin token [env: GWE_PLATFORM_TOKEN_FILE]; found as well where the URL is',
  },
  {
    name: 'ca-file',
    value: 'FILE',
    help: 'PEM of a private certificate authority [env: GWE_PLATFORM_CA_FILE]',
  },
  { name: 'insecure-http', help: 'send the token over plain HTTP to another machine' },
  JSON_OPTION,
];

/** The options of client commands that print a list. */
export const CLIENT_LIST_OPTIONS: readonly OptionSpec[] = [
  ...LIST_OPTIONS.filter(({ name }) => name !== JSON_OPTION.name),
  ...CLIENT_OPTIONS,
];

/** The positional argument at `index`. Throws USAGE_MISSING, or USAGE_BAD_VALUE for an empty one. */
export function positional(call: CommandCall, index: number, name: string): string {
  const value = call.positionals[index];
  if (value === undefined) throw new GweError('USAGE_MISSING', `argument ${name} is missing`);
  if (value === '') throw new GweError('USAGE_BAD_VALUE', `argument ${name} is empty`);
  return value;
}

/** A client made from the options and the environment. Throws USAGE_* or CONFIG_INVALID, naming what to give. */
export function openClient(call: CommandCall): PlatformClient {
  const { url, token } = credentialsOf(call);
  const caFile = call.options.text('ca-file') ?? nonEmpty(call.io.env.GWE_PLATFORM_CA_FILE);
  const ca = caFile === undefined ? {} : { ca: readRequired(caFile, 'certificate authority') };
  return createPlatformClient({ url, token, ...ca, signal: call.io.signal });
}

/** Whether the token is one of `gwe fleet token create`: only the calls below /gwe/v2 take it. */
export function hasRoleToken(call: CommandCall): boolean {
  return credentialsOf(call).token.startsWith('gwet_');
}

function credentialsOf(call: CommandCall): { url: string; token: string } {
  const served = readLastServed(call.io);
  const given = setting(call, 'url', 'GWE_PLATFORM_URL') ?? served?.url;
  if (given === undefined)
    throw missing(
      "no platform given, and none was started here: expected --url, GWE_PLATFORM_URL or a running 'gwe platform serve'",
    );
  const url = checkUrl(given, call.options.has('insecure-http'));
  const tokenFile =
    setting(call, 'token-file', 'GWE_PLATFORM_TOKEN_FILE') ??
    (served?.url === url ? served.tokenFile : undefined);
  if (tokenFile === undefined)
    throw missing(
      `no token for '${url}': expected --token-file or GWE_PLATFORM_TOKEN_FILE; 'gwe platform serve' makes it as admin-token in its directory`,
    );
  return { url, token: readToken(tokenFile) };
}

function setting(call: CommandCall, option: string, variable: string): string | undefined {
  return call.options.text(option) ?? nonEmpty(call.io.env[variable]);
}

function missing(what: string): GweError {
  return new GweError('USAGE_MISSING', what);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

/** The origin of `text`. Refuses to send the token over a network unencrypted. */
function checkUrl(text: string, allowsPlain: boolean): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.username !== '') {
    throw new GweError('USAGE_BAD_VALUE', `cannot use URL '${text}': expected https://HOST[:PORT]`);
  }
  if (url.protocol === 'http:' && !allowsPlain && !isLoopback(url.hostname)) {
    throw new GweError(
      'USAGE_BAD_VALUE',
      `cannot use URL '${text}': the token would cross the network in the clear, expected https:// or --insecure-http`,
    );
  }
  return url.origin;
}

export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

/** The token in a file: one word of 16 to 256 printable characters. Throws CONFIG_INVALID. */
export function readToken(path: string): string {
  const token = readRequired(path, 'admin token').trim();
  if (/^[\x21-\x7e]{16,256}$/.test(token)) return token;
  throw new GweError(
    'CONFIG_INVALID',
    `cannot use token file '${path}': found ${token.length} characters, expected one word of 16 to 256`,
  );
}

/** Whoever can read the token can act as the operator. Throws CONFIG_INVALID for a file that others can read. */
export function refuseOpenFile(io: CommandIo, path: string, what: string): void {
  // systemd's own directory is closed to others, and what its files grant by a list shows as rights of their group.
  if (dirname(path) === io.env.CREDENTIALS_DIRECTORY) return;
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & 0o077) === 0) return;
  throw new GweError(
    'CONFIG_INVALID',
    `cannot use ${what} file '${path}': found mode ${(mode & 0o777).toString(8)}, expected 600, since others could ` +
      `read the ${what}; run chmod 600 '${path}' and start again`,
  );
}

export function readRequired(path: string, what: string): string {
  const text = readTextBounded(path, MAX_FILE_BYTES);
  if (text === undefined) throw new GweError('CONFIG_INVALID', `cannot read ${what} '${path}': no such file`);
  return text;
}

/** A name as one segment of a path. Throws USAGE_BAD_VALUE for `.` and `..`, which a URL takes for directories. */
export function pathSegment(name: string): string {
  if (name !== '.' && name !== '..') return encodeURIComponent(name);
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot use the name '${name}': expected one that is not a directory's`,
  );
}

/** Throws PROTOCOL_REFUSED with the platform's own words. */
export function refused(what: string, reply: ClientReply): GweError {
  return new GweError(
    'PROTOCOL_REFUSED',
    `cannot ${what}: the platform answered ${reply.status}: ${firstLine(reply.text)}`,
  );
}

/** Prints a JSON document: `version` 1 says what the other fields mean; fields may be added to it. */
export function printJson(call: CommandCall, document: Record<string, unknown>): void {
  call.io.stdout(`${JSON.stringify({ version: 1, ...document })}\n`);
}

/** `2026-11-23 12:00:00` in UTC, or `never` for 0. */
export function renderTime(seconds: number): string {
  return seconds === 0 ? 'never' : new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
}

/** One line: control characters cannot move the cursor or begin another line. */
export function oneLine(text: string): string {
  return text.replace(/\r?\n/g, '\u23ce').replace(/\p{Cc}/gu, '\ufffd');
}
