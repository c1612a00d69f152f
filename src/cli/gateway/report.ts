/**
 * `gwe report`: the reports as the next check-in would make them. Sends nothing.
 *
 * `--json`: {version, reports: [{alias, isDue, sizeBytes, text}], waiting: [text]}; `text` is what is written to the
 * alias, `waiting` the keys of the reports of updates that are still to be sent.
 */
import { gatherReports } from '../../agent/reports/regular.ts';
import { createReportMemory } from '../../agent/reports/sent.ts';
import type { AgentContext } from '../../agent/run/context.ts';
import { identityMark } from '../../agent/run/device-key.ts';
import { readRunStatus } from '../../agent/run/run-status.ts';
import { runningAgent } from '../../agent/run/running-agent.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { EXIT } from '../shell/exit.ts';
import { gatewayOf } from '../shell/open-gateway.ts';
import { JSON_OPTION } from '../shell/options.ts';
import { printable, printDocument } from '../shell/screen.ts';

export const reportCommand: CommandSpec = {
  path: ['report'],
  positionals: [],
  summary: 'Show the reports that the next check-in would send',
  options: [JSON_OPTION],
  run: runReport,
};

async function runReport(call: CommandCall): Promise<number> {
  const { io } = call;
  const context = gatewayOf(call);
  const pid = runningAgent(context.layout);
  const { reports } = await gatherReports(context, { isAgent: false, pid, uptimeS: uptimeOf(context, pid) });
  const memory = createReportMemory(
    context.layout.sentReports,
    () => identityMark(context),
    () => context.settings().reportAlways,
  );
  const due = memory.select(reports, context.clock.wallMs()).map(([alias]) => alias);
  const found = Object.entries(reports).map(([alias, { text }]) => ({
    alias,
    isDue: due.includes(alias),
    sizeBytes: Buffer.byteLength(text),
    text,
  }));
  const waiting = context.outbox.keys();
  if (call.options.has('json')) {
    printDocument(io, { reports: found, waiting });
    return EXIT.ok;
  }
  for (const { alias, isDue, sizeBytes, text } of found) {
    io.stdout(`${alias} (${sizeBytes} bytes, ${isDue ? 'due' : 'as it was sent last'})\n`);
    for (const line of JSON.stringify(JSON.parse(text), undefined, 2).split('\n'))
      io.stdout(`  ${printable(line)}\n`);
  }
  io.stdout(`fetch_status: ${waiting.length} waiting to be sent\n`);
  return EXIT.ok;
}

function uptimeOf(
  context: Pick<AgentContext, 'layout' | 'clock'>,
  pid: number | undefined,
): number | undefined {
  const status = readRunStatus(context.layout);
  if (pid === undefined || status?.pid !== pid) return undefined;
  return Math.max(0, context.clock.wallMs() - status.startedAtMs) / 1000;
}
