/**
 * `gwe lease`: an app says "not now". An update of it is downloaded and unpacked, and waits before install.sh until the
 * lease is released, has run out, or its process is gone; `max_deferral` at the longest.
 *
 * `--json`: {version, leases: [{app, owner, reason, pid, expires, secondsLeft}]}: all that hold, or the one that was
 * taken; times are unix seconds; what is not known is null.
 */
import { userInfo } from 'node:os';
import type { AgentContext } from '../agent/context.ts';
import { type Lease, listLeases, releaseLease, takeLease } from '../agent/lease.ts';
import { APP_NAME_PATTERN } from '../artifact/name.ts';
import { GweError } from '../base/errors.ts';
import type { CommandCall, CommandSpec, ParsedOptions } from './command.ts';
import { EXIT } from './exit.ts';
import { gatewayOf } from './gateway.ts';
import { JSON_OPTION } from './options.ts';
import { cell, printDocument, printTable, renderSpan } from './screen.ts';

export const leaseCommand: CommandSpec = {
  path: ['lease'],
  positionals: ['[APP]'],
  summary:
    'Put updates of an app off for a while, or release it again; without --seconds and --release, list who does. ' +
    'It never holds longer than max_deferral.',
  options: [
    { name: 'seconds', value: 'N', help: 'put it off for so long; again: from now on' },
    { name: 'reason', value: 'TEXT', help: 'with --seconds: why; it is logged and reported' },
    { name: 'pid', value: 'PID', help: 'with --seconds: the lease ends with this process' },
    { name: 'release', help: 'end the lease of APP' },
    JSON_OPTION,
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
    throw new GweError('USAGE_MISSING', 'missing --seconds N: how long the lease shall hold');
  if (isTaken && options.has('release'))
    throw new GweError('USAGE_BAD_OPTION', '--seconds and --release do not go together; give one of them');
  if (!isTaken && !options.has('release')) return list(call, context, app);
  if (app === undefined) throw new GweError('USAGE_MISSING', 'missing APP: whose updates are meant');
  if (!APP_NAME_PATTERN.test(app))
    throw new GweError('USAGE_BAD_VALUE', `'${app.slice(0, 70)}' is no name of an app`);
  if (isTaken) return take(call, context, app);
  releaseLease(context.layout, app);
  return list(call, context, app);
}

function take(call: CommandCall, context: AgentContext, app: string): number {
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
    io.stderr(`gwe: warning: an update goes ahead after ${longest} s all the same (max_deferral)\n`);
  if (context.installed.get(app).active === undefined)
    io.stderr(`gwe: warning: no app '${app}' is installed\n`);
  if (options.has('json')) printDocument(io, { leases: [renderLease(app, lease, seconds * 1000)] });
  else io.stdout(`updates of ${app} wait for up to ${renderSpan(seconds * 1000)}: ${reason}\n`);
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

function list({ io, options }: CommandCall, context: AgentContext, only: string | undefined): number {
  const leases = listLeases(context.layout, context.clock.wallMs()).filter(
    ({ app }) => only === undefined || app === only,
  );
  if (options.has('json')) {
    printDocument(io, { leases: leases.map(({ app, lease, leftMs }) => renderLease(app, lease, leftMs)) });
  } else if (leases.length === 0) {
    io.stdout(`${only === undefined ? 'no update is' : `updates of ${only} are not`} put off\n`);
  } else {
    printTable(io, [
      ['APP', 'LEFT', 'OWNER', 'REASON'].map((text) => cell(text, 'dim')),
      ...leases.map(({ app, lease, leftMs }) =>
        [app, renderSpan(leftMs), lease.owner, lease.reason].map((text) => cell(text)),
      ),
    ]);
  }
  return EXIT.ok;
}

function renderLease(app: string, { owner, reason, pid, expires }: Lease, leftMs: number) {
  return { app, owner, reason, pid: pid ?? null, expires, secondsLeft: Math.ceil(leftMs / 1000) };
}
