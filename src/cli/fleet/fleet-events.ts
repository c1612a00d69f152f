/** `gwe fleet event tail`: what gateways did, and with --follow also what they do from now on. */
import * as v from 'valibot';
import { describeError, GweError } from '../../base/errors.ts';
import { printListing } from '../output/listing.ts';
import { printTable } from '../output/table.ts';
import {
  CLIENT_LIST_OPTIONS,
  oneLine,
  openClient,
  printJson,
  refused,
  renderTime,
} from '../platform/platform-options.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { cell, printRemark } from '../shell/screen.ts';
import { callFleet, queryOf } from './fleet-client.ts';
import { productPath } from './fleet-devices.ts';
import { EVENT, EVENTS, type EventReply } from './fleet-replies.ts';
import { createEventReader, type StreamEvent } from './stream-events.ts';

export const eventCommands: readonly CommandSpec[] = [
  {
    path: ['fleet', 'event', 'tail'],
    positionals: ['PRODUCT'],
    summary: 'Print events, oldest first',
    options: [
      {
        name: 'after',
        value: 'ID',
        help: 'those after this one',
        default: '0; with --follow those that come',
      },
      { name: 'serial', value: 'SERIAL', help: 'those of one gateway' },
      { name: 'follow', short: 'f', help: 'go on with each that comes; with --json a document a line' },
      ...CLIENT_LIST_OPTIONS,
    ],
    run: tailEvents,
  },
];

const EVENT_COLUMNS = [
  { title: 'ID', rank: 0 },
  { title: 'AT (UTC)', rank: 3 },
  { title: 'SERIAL', rank: 1 },
  { title: 'EVENT', rank: 1 },
  { title: 'TEXT', rank: 2, isText: true },
];

function tailEvents(call: CommandCall): Promise<number> {
  return call.options.has('follow') ? followEvents(call) : printEvents(call);
}

async function printEvents(call: CommandCall): Promise<number> {
  const [after, serial] = [call.options.text('after') ?? '0', call.options.text('serial')];
  const path = productPath(call, `/events${queryOf({ after, serial, limit: '1000' })}`);
  const { events } = await callFleet(call, EVENTS, { method: 'GET', path, what: 'read events' });
  const printText = (): void => {
    const rows = events.map((event) => wordsOf(event).map((part) => cell(part)));
    printTable(call.io, EVENT_COLUMNS, rows);
  };
  const fields = ['id', 'serial', 'at', 'kind', 'app', 'version', 'text'];
  printListing(call, { document: { events }, fields, rows: events, printText });
  return 0;
}

function wordsOf({ id, serial, at, kind, app, version, text }: EventReply): string[] {
  const about = [kind, app, version].filter((part) => part !== '').join(' ');
  return [String(id), renderTime(at), oneLine(serial), about, oneLine(text)];
}

const AGAIN_MS = 2000;

/** Runs until it is interrupted. A connection that ends is opened again, and continues after the last event. */
async function followEvents(call: CommandCall): Promise<number> {
  const { clock, signal } = call.io;
  const isJson = call.options.has('json') || call.options.text('output') === 'json';
  if (call.options.text('output') === 'csv')
    throw new GweError('USAGE_BAD_OPTION', '--follow and --output csv do not go together; give one of them');
  let last = call.options.text('after');
  let wasThere = false;
  const take = ({ id, data }: StreamEvent): void => {
    last = id ?? last;
    wasThere = true;
    if (data === undefined) return;
    const event = v.parse(EVENT, JSON.parse(data));
    if (isJson) printJson(call, { event });
    else call.io.stdout(`${wordsOf(event).join('  ')}\n`);
  };
  while (!signal.aborted) {
    try {
      await readStream(call, last, take);
    } catch (error) {
      if (signal.aborted) break;
      if (!wasThere || !(error instanceof GweError && error.isTransient)) throw error;
      printRemark(call.io, `${describeError(error)}; tries again in ${AGAIN_MS / 1000} s`);
    }
    await clock.sleep(AGAIN_MS, signal);
  }
  return 0;
}

async function readStream(
  call: CommandCall,
  last: string | undefined,
  take: (event: StreamEvent) => void,
): Promise<void> {
  const path = `/gwe/v2${productPath(call, `/events${queryOf({ serial: call.options.text('serial') })}`)}`;
  const headers = { Accept: 'text/event-stream', ...(last === undefined ? {} : { 'Last-Event-ID': last }) };
  const reply = await openClient(call).stream(path, headers, createEventReader(take));
  if (reply !== undefined) throw refused('follow events', reply);
}
