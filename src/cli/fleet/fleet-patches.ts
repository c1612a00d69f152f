/** `gwe fleet patch list`: which patches exist, and what they save. */
import { printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import { CLIENT_LIST_OPTIONS } from '../platform/platform-options.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { cell, renderBytes } from '../shell/screen.ts';
import { callFleet } from './fleet-client.ts';
import { productPath } from './fleet-devices.ts';
import { PATCHES, type PatchReply } from './fleet-replies.ts';

export const patchCommands: readonly CommandSpec[] = [
  {
    path: ['fleet', 'patch', 'list'],
    positionals: ['PRODUCT'],
    summary: 'List the patches that were asked for, what they save, and why there is none',
    options: CLIENT_LIST_OPTIONS,
    run: listPatches,
  },
];

const COLUMNS = [
  { title: 'APP', rank: 0 },
  { title: 'VERSION', rank: 0 },
  { title: 'FROM', rank: 0 },
  { title: 'GATEWAYS', rank: 2 },
  { title: 'STATE', rank: 1 },
  { title: 'SAVES EACH', rank: 3 },
  { title: 'WHY NOT', rank: 4, isText: true },
];

async function listPatches(call: CommandCall): Promise<number> {
  const path = productPath(call, '/patches');
  const { workers, patches } = await callFleet(call, PATCHES, { method: 'GET', path, what: 'list patches' });
  const printText = (): void => {
    const rows = patches.map(({ app, version, from, gateways, state, savesBytes, reason }) =>
      [app, version, from, `${gateways}`, state, savesBytes === 0 ? '' : renderBytes(savesBytes), reason].map(
        (text) => cell(text),
      ),
    );
    printTable(call.io, COLUMNS, rows);
    const saved = patches.reduce((sum, { gateways, savesBytes }) => sum + gateways * savesBytes, 0);
    call.io.stdout(
      `${renderBytes(saved)} saved in all, ${workers === 1 ? 'one worker' : `${workers} workers`}\n`,
    );
  };
  const fields = ['app', 'version', 'from', 'gateways', 'state', 'savesBytes', 'reason', 'name'];
  printListing(call, { document: { version: 1, workers, patches }, fields, rows: patches, printText });
  return 0;
}

/** A line about the patches to one tarball of a rollout. */
export function describePatch(
  { app, version, from, gateways, state, reason, savesBytes }: PatchReply,
  isWaiting: boolean,
): string {
  const pair = `from ${from} to ${app} ${version}`;
  if (state === 'made')
    return `patch ${pair}: saves ${renderBytes(savesBytes)} on each of ${gateways} gateways`;
  if (state === 'open')
    return `patch ${pair}: ${isWaiting ? 'is being made' : 'was not made in time; goes without'}`;
  return `no patch ${pair}: ${reason}`;
}
