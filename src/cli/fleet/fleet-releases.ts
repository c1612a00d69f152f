/** `gwe fleet releases`, and what a dry run says of the release list. */
import { printTable } from '../output/table.ts';
import { CLIENT_OPTIONS, oneLine, positional, printJson, renderTime } from '../platform/platform-options.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { cell } from '../shell/screen.ts';
import { callFleet } from './fleet-client.ts';
import { productPath } from './fleet-devices.ts';
import { type PlanReply, RELEASES } from './fleet-replies.ts';

export const releaseCommand: CommandSpec = {
  path: ['fleet', 'releases'],
  positionals: ['PRODUCT'],
  summary: 'Show the release list: what it names, how long it lasts, and what is there that it does not name',
  options: CLIENT_OPTIONS,
  run: printReleases,
};

const COLUMNS = [
  { title: 'APP', rank: 0 },
  { title: 'VERSION', rank: 0 },
  { title: 'DIGEST', rank: 2 },
  { title: 'TARGET', rank: 3 },
  { title: 'GATEWAYS', rank: 1 },
];

async function printReleases(call: CommandCall): Promise<number> {
  const path = productPath(call, '/releases');
  const found = await callFleet(call, RELEASES, { method: 'GET', path, what: 'show the release list' });
  if (call.options.has('json')) {
    printJson(call, found);
    return 0;
  }
  const { list, signatures, problem, unlisted, installed, gateways } = found;
  const say = (line: string): void => call.io.stdout(`${oneLine(line)}\n`);
  if (list === null) {
    say(problem === null ? 'no release list in the content area' : `the release list is no good: ${problem}`);
  } else {
    const left = saySpan(found.daysLeft);
    say(`release list ${list.release} of ${list.product}: ${left}, until ${renderTime(list.expires)} UTC`);
    say(`signed by ${signatures.join(', ') || 'nobody'}`);
    if (problem !== null) say(`no gateway of ${positional(call, 0, 'PRODUCT')} takes it over: ${problem}`);
    const rows = Object.entries(list.apps).flatMap(([app, versions]) =>
      versions.map(({ version, digest, target = '' }) =>
        [app, version, digest.slice(0, 8), target, String(installed[app]?.[version] ?? 0)].map((text) =>
          cell(text),
        ),
      ),
    );
    printTable(call.io, COLUMNS, rows);
  }
  for (const { app, version, gateways: count, isUploaded } of unlisted)
    say(
      `not named: ${app} ${version}, ${count > 0 ? `on ${sayGateways(count)}` : isUploaded ? 'uploaded' : ''}`,
    );
  const { all, goBy, stale, missing } = gateways;
  const lacking = [
    ...(stale > 0 ? [`${stale} stale`] : []),
    ...(missing > 0 ? [`${missing} without it`] : []),
  ];
  const rest = lacking.length === 0 ? '' : `: ${lacking.join(', ')}`;
  say(
    goBy === 0
      ? NOBODY
      : `${goBy} of ${sayGateways(all)} ${goBy === 1 ? 'says that it goes' : 'say that they go'} by one${rest}`,
  );
  return 0;
}

const NOBODY = 'no gateway has said that it goes by one';
const sayGateways = (count: number): string => (count === 1 ? '1 gateway' : `${count} gateways`);

function saySpan(days: number | null): string {
  if (days === null || days < 0) return 'expired';
  if (days === 0) return 'less than a day left';
  return days === 1 ? '1 day left' : `${days} days left`;
}

/** Lines of a dry run; none where there is no list and nobody wants one. */
export function describeReleases(
  { release, daysLeft, problem, named, gateways, ahead }: NonNullable<PlanReply['releases']>,
  artifacts: readonly string[],
): string[] {
  const many = gateways === 1 ? 'says that it goes by one' : 'say that they go by one';
  const who = gateways === 0 ? NOBODY : `${sayGateways(gateways)} ${many}`;
  if (problem !== null) return [`the release list is no good (${problem}); ${who}`];
  if (release === null) return [`no release list; ${who}`];
  const missing = artifacts.filter((id) => !named.includes(id));
  const names = missing.length === 0 ? `names ${named.join(', ')}` : `does not name ${missing.join(', ')}`;
  const behind = `release list ${release} is lower than what ${sayGateways(ahead)} have seen, so that they keep that one`;
  return [`release list ${release} (${saySpan(daysLeft)}) ${names}; ${who}`, ...(ahead > 0 ? [behind] : [])];
}
