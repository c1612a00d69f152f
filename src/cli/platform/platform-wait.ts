/** `gwe platform write --wait`: waits until the gateway has reported what became of a command. */
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';
import type { CommandCall } from '../shell/command.ts';
import { printParagraph } from '../shell/screen.ts';
import { pollUntil } from '../shell/wait.ts';
import type { PlatformClient } from './platform-client.ts';
import { pathSegment, refused } from './platform-options.ts';
import { decodeHistory } from './platform-replies.ts';

const LOOK_MS = 1000;
/** The most entries of one command that are reported one by one. */
const MOST_REPORTS = 100;
/** How a report says that the update is still under way. */
const IN_PROGRESS = 'in progress';
const GOOD: readonly string[] = ['installed', 'unchanged', 'log'];

const ReportSchema = v.object({
  name: v.optional(v.string(), ''),
  version: v.optional(v.string(), ''),
  outcome: v.optional(v.string(), ''),
  reason: v.optional(v.string()),
  info: v.optional(v.string()),
  phase: v.optional(v.string()),
  percent: v.optional(v.number()),
});
type Report = v.InferOutput<typeof ReportSchema>;

const CommandSchema = v.object({ install: v.array(v.unknown()) });

interface Place {
  client: PlatformClient;
  product: string;
  serial: string;
}

interface Entry {
  timestamp: number;
  value: string;
}

/** What `fetch_status` holds now, so that new reports can be told from it. */
export async function readReports({ client, product, serial }: Place): Promise<Entry[]> {
  const path = `/gwe/v1/products/${pathSegment(product)}/devices/${pathSegment(serial)}/history?alias=fetch_status&limit=${MOST_REPORTS}`;
  const reply = await client.call('GET', path);
  if (reply.status !== 200) throw refused(`read the reports of device '${serial}'`, reply);
  return decodeHistory(reply.text).reverse();
}

/** How many reports a command brings: one for each app that it names. */
export function countReports(command: string): number {
  try {
    const { install } = v.parse(CommandSchema, JSON.parse(command));
    return Math.min(MOST_REPORTS, Math.max(1, install.length));
  } catch {
    // gwe also reports a text that is not a command.
    return 1;
  }
}

/** Prints each report that comes after `before`, until `count` updates have ended. True if all were installed. */
export async function waitForReports(
  { io, options }: CommandCall,
  place: Place,
  wanted: { before: readonly Entry[]; count: number; timeoutMs: number },
): Promise<{ isGood: boolean; reports: Report[] }> {
  const { before, count, timeoutMs } = wanted;
  const seen = new Set(before.map(markOf));
  const ended: Report[] = [];
  const tell = options.has('json')
    ? () => undefined
    : (line: string) => printParagraph({ ...io, stdout: io.stderr }, line);
  tell(`written; waiting for ${count === 1 ? 'the report' : `${count} reports`} of ${place.serial}`);
  const isOver = await pollUntil(io, { timeoutMs, lookMs: LOOK_MS }, async () => {
    for (const entry of await readReports(place)) {
      if (seen.has(markOf(entry))) continue;
      seen.add(markOf(entry));
      const report = decodeReport(entry.value);
      tell(describe(report));
      if (report.outcome !== IN_PROGRESS) ended.push(report);
    }
    return ended.length >= count ? true : undefined;
  });
  if (isOver === undefined)
    throw new GweError(
      'PROTOCOL_REFUSED',
      `${place.serial} has sent ${ended.length} of ${count} reports within ${timeoutMs / 1000} s; the command stands, ` +
        `see 'gwe platform history ${place.product} ${place.serial} fetch_status'`,
    );
  return { isGood: ended.every(({ outcome }) => GOOD.includes(outcome)), reports: ended };
}

function markOf({ timestamp, value }: Entry): string {
  return `${timestamp} ${value}`;
}

/** A gateway with `fetch_status_format = text`, or an app, writes text that is not JSON. */
function decodeReport(text: string): Report {
  try {
    return v.parse(ReportSchema, JSON.parse(text));
  } catch {
    return { name: '', version: '', outcome: 'reported', info: text.slice(0, 1000) };
  }
}

function describe({ name, version, outcome, reason, info, phase, percent }: Report): string {
  const step = phase === undefined ? '' : `${phase}${percent === undefined ? '' : `, ${percent} %`}`;
  const more = outcome === IN_PROGRESS ? step : (reason ?? (outcome === 'reported' ? info : ''));
  return [`${name} ${version}`.trim(), outcome, more]
    .filter((part) => part !== undefined && part !== '')
    .join(': ');
}
