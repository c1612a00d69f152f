/** The request for a rollout, from the command line. */
import { GweError } from '../../base/errors.ts';
import { parseWindows } from '../../base/time/windows.ts';
import type { CommandCall, OptionSpec } from '../shell/command.ts';
import { CHOICE_OPTIONS } from './fleet-devices.ts';

export const SPEC_OPTIONS: readonly OptionSpec[] = [
  ...CHOICE_OPTIONS,
  {
    name: 'waves',
    value: 'LIST',
    help: 'gateways or per cent by wave: 5,10%,100%',
    default: '1%,10%,50%,100%',
  },
  {
    name: 'soak',
    value: 'SECONDS',
    help: 'from the last taking of a wave until it is judged',
    default: '86400',
  },
  { name: 'concurrency', value: 'COUNT', help: 'gateways under way at once', default: '1000' },
  { name: 'limit', value: 'PERCENT', help: 'how many may fail or fall silent', default: '5' },
  { name: 'need', value: 'PERCENT', help: 'how many of a wave must succeed', default: '95' },
  {
    name: 'window',
    value: 'TEXT',
    help: "when gateways install it, as 'Sat,Sun 01:00-05:00 Europe/Berlin'; they fetch it before",
    default: 'always',
  },
  { name: 'not-before', value: 'TIME', help: 'installed by nobody before, as 2026-12-01T02:00:00Z' },
  { name: 'together', help: 'a gateway installs all of the tarballs or none' },
  { name: 'follow', help: 'gateways that come to match later join the last wave, until you finish it' },
  {
    name: 'retries',
    value: 'LIST',
    help: 'seconds before each further try after a fault of the network or the platform; none: 0',
    default: '3600,21600',
  },
  { name: 'name', value: 'TEXT', help: 'what it is called', default: 'its apps and versions' },
];

export function specOf(call: CommandCall): Record<string, unknown> {
  const artifacts = call.positionals.slice(1);
  if (artifacts.length === 0) throw new GweError('USAGE_MISSING', 'argument ARTIFACT is missing');
  const { options } = call;
  const [limit, need] = [numberOf(options.text('limit'), 'limit'), numberOf(options.text('need'), 'need')];
  return {
    artifacts,
    name: options.text('name'),
    filter: options.text('filter'),
    group: options.text('group'),
    waves: options.text('waves')?.split(',').map(parseWave),
    soakS: numberOf(options.text('soak'), 'soak'),
    concurrency: numberOf(options.text('concurrency'), 'concurrency'),
    limit: limit === undefined ? undefined : limit / 100,
    need: need === undefined ? undefined : need / 100,
    windows: windowsOf(options.text('window')),
    notBefore: timeOf(options.text('not-before')),
    together: options.has('together') ? true : undefined,
    follow: options.has('follow') ? true : undefined,
    retriesS: retriesOf(options.text('retries')),
  };
}

function numberOf(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}(\.\d{1,3})?$/.test(text)) return Number(text);
  throw new GweError('USAGE_BAD_VALUE', `cannot use --${option} '${text}': expected a number`);
}

function parseWave(text: string): { count: number } | { share: number } {
  const [, digits, percent] = /^(\d{1,7}(?:\.\d{1,3})?)(%?)$/.exec(text.trim()) ?? [];
  const isWhole = digits !== undefined && !digits.includes('.');
  if (digits !== undefined && percent === '%' && Number(digits) <= 100)
    return { share: Number(digits) / 100 };
  if (isWhole && percent === '' && Number(digits) > 0) return { count: Number(digits) };
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot use wave '${text}': expected a number of gateways, or a share such as 10%`,
  );
}

function windowsOf(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  const parsed = parseWindows(text);
  if ('windows' in parsed) return parsed.windows;
  throw new GweError('USAGE_BAD_VALUE', parsed.problem);
}

function timeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const isWhole = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/.test(text);
  const atS = Math.floor(Date.parse(text) / 1000);
  if (isWhole && Number.isFinite(atS) && atS >= 0) return atS;
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot use --not-before '${text}': expected a time with its zone, such as 2026-12-01T02:00:00Z`,
  );
}

function retriesOf(text: string | undefined): number[] | undefined {
  if (text === undefined) return undefined;
  if (text === '0') return [];
  const pauses = text.split(',').map((part) => part.trim());
  if (pauses.length <= 10 && pauses.every((part) => /^\d{1,7}$/.test(part))) return pauses.map(Number);
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot use --retries '${text}': expected up to ten numbers of seconds, such as 3600,21600`,
  );
}
