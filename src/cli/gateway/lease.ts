/**
 * `gwe lease`: an app says "not now". An update of it is downloaded and unpacked, and waits before install.sh until the
 * lease is released, has run out, or its process is gone; `max_deferral` at the longest.
 *
 * `--json`: {version, leases: [{app, owner, reason, pid, expires, secondsLeft}]}: all that hold, or the one that was
 * taken; times are unix seconds; what is not known is null.
 */
import { userInfo } from 'node:os';
import type { AgentContext } from '../../agent/run/context.ts';
import { APP_NAME_PATTERN } from '../../artifact/name.ts';
import { GweError } from '../../base/errors.ts';
import { type Lease, listLeases, releaseLease, takeLease } from '../../store/lease.ts';
import { LIST_OPTIONS, printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import type { CommandCall, CommandSpec, ParsedOptions } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf } from '../shell/open-gateway.ts';
import { cell, renderSpan } from '../shell/screen.ts';

export const leaseCommand: CommandSpec = {
  path: ['lease'],
  positionals: ['[APP]'],
  summary:
    'Postpone updates of an app for a while, or end that; without --seconds and --release, list who does so. ' +
    'It never holds longer than max_deferral.',
  options: [
    { name: 'seconds', value: 'N', help: 'postpone it for this long; repeated: from now on' },
    { name: 'reason', value: 'TEXT', help: 'with --seconds: why; it is logged and reported' },
    { name: 'pid', value: 'PID', help: 'with --seconds: the lease ends with this process' },
    { name: 'release', help: 'end the lease of APP' },
    ...LIST_OPTIONS,
  ],
  run: runLease,
};

const LONGEST_S = 604_800;
const LONGEST_REASON = 200;

async function runLease(call: CommandCall): Promise<number> {
  const { options, positionals } = call;
  const context = gatewayOf(call);
  const [app] = positionals;
  const isTaken = options.has('seconds');
  if (!isTaken && (options.has('reason') || options.has('pid')))
    throw new GweError('USAGE_MISSING', 'missing --seconds N: how long the lease is to last');
  if (isTaken && options.has('release'))
    throw new GweError('USAGE_BAD_OPTION', '--seconds and --release do not go together; give one of them');
  if (!isTaken && !options.has('release')) return list(call, context, app);
  if (app === undefined)
    throw new GweError('USAGE_MISSING', 'missing APP: the app whose updates are to wait');
  if (!APP_NAME_PATTERN.test(app))
    throw new GweError('USAGE_BAD_VALUE', `'${app.slice(0, 70)}' is not a valid name of an app`);
  if (isTaken) return take(call, context, app);
  releaseLease(context.layout, app);
  return list(call, context, app);
}

function take(
  call: CommandCall,
  context: Pick<AgentContext, 'layout' | 'clock' | 'settings' | 'installed'>,
  app: string,
): number {
  const { io, options } = call;
  const reason = options.text('reason')?.trim() ?? '';
  if (reason === '' || reason.length > LONGEST_REASON)
    throw new GweError('USAGE_MISSING', `missing --reason TEXT of at most ${LONGEST_REASON} characters`);
  const seconds = wholeOf(options, 'seconds', LONGEST_S);
  const pid = options.has('pid') ? wholeOf(options, 'pid', 2 ** 22) : undefined;
  const owner = pid === undefined ? userInfo().username : `process ${pid}`;
  const nowMs = context.clock.wallMs();
  const wish = { owner, reason, seconds, ...(pid === undefined ? {} : { pid }) };
  const lease = takeLease(context.layout, app, wish, nowMs);
  const longest = context.settings().maxDeferralS;
  if (seconds > longest)
    io.stderr(`gwe: warning: an update goes ahead after ${longest} s regardless (max_deferral)\n`);
  if (context.installed.get(app).active === undefined)
    io.stderr(`gwe: warning: no app '${app}' is installed\n`);
  const rows = [renderLease(app, lease, seconds * 1000)];
  const printText = (): void =>
    io.stdout(`updates of ${app} wait for up to ${renderSpan(seconds * 1000)}: ${reason}\n`);
  printListing(call, { document: { leases: rows }, fields: FIELDS, rows, printText });
  return EXIT.ok;
}

/** Throws USAGE_BAD_VALUE. */
function wholeOf(options: ParsedOptions, name: string, most: number): number {
  const text = options.text(name) ?? '';
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= most) return value;
  throw new GweError(
    'USAGE_BAD_VALUE',
    `--${name}: found '${text.slice(0, 40)}', expected a whole number from 1 to ${most}`,
  );
}

function list(
  { io, options }: CommandCall,
  context: Pick<AgentContext, 'layout' | 'clock'>,
  only: string | undefined,
): number {
  const leases = listLeases(context.layout, context.clock.wallMs()).filter(
    ({ app }) => only === undefined || app === only,
  );
  const rows = leases.map(({ app, lease, leftMs }) => renderLease(app, lease, leftMs));
  const printText = (): void => {
    if (leases.length === 0) {
      io.stdout(`${only === undefined ? 'no update is' : `updates of ${only} are not`} postponed\n`);
      return;
    }
    const cells = leases.map(({ app, lease, leftMs }) =>
      [app, renderSpan(leftMs), lease.owner, lease.reason].map((text) => cell(text)),
    );
    printTable(io, COLUMNS, cells);
  };
  printListing({ io, options }, { document: { leases: rows }, fields: FIELDS, rows, printText });
  return EXIT.ok;
}

const FIELDS = ['app', 'owner', 'reason', 'pid', 'expires', 'secondsLeft'] as const;
const COLUMNS = [
  { title: 'APP', rank: 0 },
  { title: 'LEFT', rank: 1 },
  { title: 'OWNER', rank: 3 },
  { title: 'REASON', rank: 2, isText: true },
];

function renderLease(
  app: string,
  { owner, reason, pid, expires }: Lease,
  leftMs: number,
): Record<(typeof FIELDS)[number], unknown> {
  return { app, owner, reason, pid: pid ?? null, expires, secondsLeft: Math.ceil(leftMs / 1000) };
}
