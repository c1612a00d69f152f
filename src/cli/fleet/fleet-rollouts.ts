/** `gwe fleet rollout ...`: a version to many gateways, wave by wave. */
import { GweError } from '../../base/errors.ts';
import { COMMAND_SIGN_OPTIONS, signText } from '../developer/sign-command.ts';
import { printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import {
  CLIENT_LIST_OPTIONS,
  CLIENT_OPTIONS,
  oneLine,
  pathSegment,
  positional,
  printJson,
  renderTime,
} from '../platform/platform-options.ts';
import type { CommandCall, CommandSpec, OptionSpec } from '../shell/command.ts';
import { cell, renderBytes, renderSpan } from '../shell/screen.ts';
import { callFleet } from './fleet-client.ts';
import { productPath } from './fleet-devices.ts';
import { describePatch } from './fleet-patches.ts';
import { describeReleases } from './fleet-releases.ts';
import { PLAN, ROLLOUT, ROLLOUTS, type RolloutReply } from './fleet-replies.ts';
import { SPEC_OPTIONS, specOf } from './rollout-spec.ts';

const SIGN_OPTIONS: readonly OptionSpec[] = [
  ...COMMAND_SIGN_OPTIONS.filter(({ name }) => name !== 'until'),
  {
    name: 'until',
    value: 'TIME',
    help: 'with --sign-key: when gateways no longer take it, in 7d or at 2026-12-01T02:00:00Z',
  },
];

const ACT_OPTIONS: readonly OptionSpec[] = [
  { name: 'reason', value: 'TEXT', help: 'why; others read it' },
  ...CLIENT_OPTIONS,
];

export const rolloutCommands: readonly CommandSpec[] = [
  {
    path: ['fleet', 'rollout', 'plan'],
    positionals: ['PRODUCT', 'ARTIFACT...'],
    summary: 'Show who a rollout would reach, who not and why, and its bytes; change nothing',
    options: [...SPEC_OPTIONS, ...CLIENT_OPTIONS],
    run: planRollout,
  },
  {
    path: ['fleet', 'rollout', 'start'],
    positionals: ['PRODUCT', 'ARTIFACT...'],
    summary: 'Start a rollout of tarballs in the content area',
    options: [...SPEC_OPTIONS, ...SIGN_OPTIONS, ...CLIENT_OPTIONS],
    run: startRollout,
  },
  {
    path: ['fleet', 'rollout', 'list'],
    positionals: ['PRODUCT'],
    summary: 'List rollouts, the newest first',
    options: CLIENT_LIST_OPTIONS,
    run: listRollouts,
  },
  {
    path: ['fleet', 'rollout', 'show'],
    positionals: ['PRODUCT', 'ROLLOUT'],
    summary: 'Show how far it is, what it waits for, and what failed',
    options: [
      { name: 'watch', help: 'again when something has changed, until it is over or waits for a person' },
      ...CLIENT_OPTIONS,
    ],
    run: showRollout,
  },
  act('pause', 'Show its command to no more gateways'),
  act('resume', 'Go on after a pause or a stop by the rule'),
  act('go-on', 'Begin the next wave in spite of what this one lacks'),
  act('retry', 'Try again on the gateways on which it failed'),
  act('approve', 'Approve a rollout that somebody else made'),
  act('finish', 'Take in no more gateways, where it was started with --follow'),
  act('abort', 'End it; it cannot be resumed'),
];

function act(verb: string, summary: string): CommandSpec {
  return {
    path: ['fleet', 'rollout', verb],
    positionals: ['PRODUCT', 'ROLLOUT'],
    summary,
    options: ACT_OPTIONS,
    run: (call) => actOn(call, verb),
  };
}

export function rolloutPath(call: CommandCall, rest = ''): string {
  return productPath(call, `/rollouts/${pathSegment(positional(call, 1, 'ROLLOUT'))}${rest}`);
}

const WAYS: Readonly<Record<string, string>> = {
  patch: 'by patches',
  whole: 'whole, or less where a part of it is there already',
};

async function planRollout(call: CommandCall): Promise<number> {
  const path = productPath(call, '/rollouts/plan');
  const plan = await callFleet(call, PLAN, {
    method: 'POST',
    path,
    body: specOf(call),
    what: 'plan the rollout',
  });
  if (call.options.has('json')) {
    printJson(call, plan);
    return 0;
  }
  const span = plan.durationS === undefined ? '' : `, about ${renderSpan(plan.durationS * 1000)} in all`;
  call.io.stdout(`${plan.gateways} gateways in waves of ${plan.waves.join(', ')}${span}\n`);
  for (const [way, { gateways, bytes }] of Object.entries(plan.ways))
    call.io.stdout(`${WAYS[way] ?? oneLine(way)}: ${renderBytes(bytes)} to ${gateways} gateways\n`);
  const about = plan.releases ? describeReleases(plan.releases, call.positionals.slice(1)) : [];
  for (const line of about) call.io.stdout(`${oneLine(line)}\n`);
  for (const [reason, { gateways, first }] of Object.entries(plan.excluded))
    call.io.stdout(`not ${gateways}: ${oneLine(reason)} (${oneLine(first.join(', '))})\n`);
  if (plan.heldBack !== undefined && plan.heldBack.gateways > 0) {
    const { gateways, first } = plan.heldBack;
    const what = 'their gwe is older than 2.1.0, or has not said its version';
    call.io.stdout(`held back ${gateways}: ${what} (${oneLine(first.join(', '))})\n`);
  }
  return 0;
}

async function startRollout(call: CommandCall): Promise<number> {
  const path = productPath(call, '/rollouts');
  const body = { ...specOf(call), signed: await signRollout(call) };
  return print(
    call,
    await callFleet(call, ROLLOUT, { method: 'POST', path, body, what: 'start the rollout' }),
  );
}

/** Signed once, here: the server has no key; it passes the signature on, and cannot change what was signed. */
async function signRollout(call: CommandCall): Promise<unknown> {
  const isSigned = ['sign-key', 'sign-cmd'].some((name) => call.options.text(name) !== undefined);
  if (!isSigned) return undefined;
  if (call.options.text('until') === undefined)
    throw new GweError(
      'USAGE_MISSING',
      'cannot sign the rollout: --until TIME is missing: when gateways no longer take it, after its last wave',
    );
  const [product = '', ...artifacts] = call.positionals;
  const isTogether = call.options.has('together') && artifacts.length > 1;
  const command = { install: artifacts.map((name) => ({ name })), ...(isTogether ? { together: true } : {}) };
  const text = (await signText(call, 'sign-key', { product }, { text: JSON.stringify(command) })) ?? '{}';
  return (JSON.parse(text) as { signed?: unknown }).signed;
}

async function showRollout(call: CommandCall): Promise<number> {
  const read = (): Promise<RolloutReply> =>
    callFleet(call, ROLLOUT, { method: 'GET', path: rolloutPath(call), what: 'show the rollout' });
  const shown = await read();
  print(call, shown);
  return call.options.has('watch') ? watchRollout(call, read, shown) : 0;
}

const LOOK_MS = 2000;
/** The states in which nothing happens until a person acts. */
const RESTING: readonly string[] = ['paused', 'held', 'done', 'aborted', 'awaiting-approval'];

async function watchRollout(
  call: CommandCall,
  read: () => Promise<RolloutReply>,
  first: RolloutReply,
): Promise<number> {
  const { clock, signal } = call.io;
  let shown = first;
  while (!RESTING.includes(shown.state) && !signal.aborted) {
    await clock.sleep(LOOK_MS, signal);
    if (signal.aborted) break;
    const now = await read();
    if (JSON.stringify(now) !== JSON.stringify(shown)) print(call, now);
    shown = now;
  }
  return 0;
}

async function actOn(call: CommandCall, verb: string): Promise<number> {
  const body = { reason: call.options.text('reason') };
  const path = rolloutPath(call, `/${verb}`);
  return print(
    call,
    await callFleet(call, ROLLOUT, { method: 'POST', path, body, what: `${verb} the rollout` }),
  );
}

async function listRollouts(call: CommandCall): Promise<number> {
  const path = productPath(call, '/rollouts');
  const { rollouts } = await callFleet(call, ROLLOUTS, { method: 'GET', path, what: 'list rollouts' });
  const printText = (): void => {
    const rows = rollouts.map((rollout) => rowOf(rollout).map((text) => cell(text)));
    printTable(call.io, COLUMNS, rows);
  };
  const fields = ['id', 'name', 'state', 'wave', 'waves', 'waitsFor', 'until', 'failures'];
  printListing(call, { document: { rollouts }, fields, rows: rollouts, printText });
  return 0;
}

const COLUMNS = [
  { title: 'ROLLOUT', rank: 0 },
  { title: 'STATE', rank: 1 },
  { title: 'WAVE', rank: 3 },
  { title: 'OK', rank: 2 },
  { title: 'FAILED', rank: 2 },
  { title: 'SILENT', rank: 4 },
  { title: 'UNTIL (UTC)', rank: 6 },
  { title: 'NAME', rank: 5, isText: true },
  { title: 'WAITS FOR', rank: 7, isText: true },
];

function rowOf({ id, name, state, wave, waves, waitsFor, until }: RolloutReply): string[] {
  const count = (of: string): string => String(waves.reduce((sum, { counts }) => sum + (counts[of] ?? 0), 0));
  const counts = [count('succeeded'), count('failed'), count('silent')];
  const end = until === null ? '' : renderTime(until);
  return [id, state, `${wave}/${waves.length}`, ...counts, end, oneLine(name), oneLine(waitsFor)];
}

/** Its id, its name and how far it is. */
export function headline({ id, name, state, wave, waves }: RolloutReply): string {
  return `${id}  ${oneLine(name)}  ${state}, wave ${wave} of ${waves.length}`;
}

function print(call: CommandCall, rollout: RolloutReply): number {
  if (call.options.has('json')) {
    printJson(call, rollout);
    return 0;
  }
  call.io.stdout(`${headline(rollout)}\n`);
  const until = rollout.until === null ? '' : `, until ${renderTime(rollout.until)} UTC`;
  call.io.stdout(`waits for ${oneLine(rollout.waitsFor)}${until}\n`);
  const follow = rollout.policy?.follow;
  if (follow !== undefined)
    call.io.stdout(
      `takes in later: ${follow === '' ? 'every new gateway' : oneLine(follow)}, until finished\n`,
    );
  for (const [at, { counts }] of rollout.waves.entries()) {
    const shown = Object.entries(counts).flatMap(([state, count]) =>
      count === 0 ? [] : [`${count} ${state}`],
    );
    call.io.stdout(`wave ${at + 1}: ${shown.join(', ') || 'no gateways'}\n`);
  }
  for (const { code, gateways, serials, reason } of rollout.failures)
    call.io.stdout(`${gateways} ${code}: ${oneLine(reason)} (${oneLine(serials.join(', '))})\n`);
  const isWaiting = rollout.state === 'preparing' || rollout.state === 'awaiting-approval';
  for (const patch of rollout.patches) call.io.stdout(`${oneLine(describePatch(patch, isWaiting))}\n`);
  if (rollout.fetched) {
    const { bytes, fullBytes } = rollout.fetched;
    call.io.stdout(`fetched ${renderBytes(bytes)} instead of ${renderBytes(fullBytes)}\n`);
  }
  for (const { gateways, serials, reason, until: untilS } of rollout.heldBack) {
    const end = untilS === null ? '' : `, until ${renderTime(untilS)} UTC`;
    call.io.stdout(`${gateways} held back: ${oneLine(reason)}${end} (${oneLine(serials.join(', '))})\n`);
  }
  return 0;
}
