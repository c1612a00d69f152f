/** The metrics file: what the reports say, in Prometheus text format, for node_exporter's textfile collector. */
import { dirname } from 'node:path';
import { describeError } from '../../base/errors.ts';
import { ensureDirectory } from '../../base/fs.ts';
import { writeNamedFile } from '../../base/named-file.ts';
import { readProcessTable } from '../../machine/process-tree.ts';
import { createSystemFiles } from '../../machine/system-files.ts';
import type { AppFacts } from '../apps/app-facts.ts';
import type { AgentContext } from '../run/context.ts';
import type { GatheredReports } from './regular.ts';

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number | undefined];

interface Metric {
  name: string;
  type: 'gauge' | 'counter';
  help: string;
  samples: readonly Sample[];
}

/** Replaces `metrics_file`, if one is set. A fault of that disk is logged, and no check-in fails for it. */
export function writeMetrics(
  context: Pick<AgentContext, 'log' | 'gweVersion' | 'settings' | 'outbox' | 'ledger' | 'budget'>,
  gathered: GatheredReports,
  checkIn: { isGood: boolean },
): void {
  const path = context.settings().metricsFile;
  if (path === '') return;
  try {
    ensureDirectory(dirname(path));
    writeNamedFile(path, renderMetrics(context, gathered, checkIn));
  } catch (error) {
    context.log.warn('metrics.failed', { file: path }, describeError(error));
  }
}

function renderMetrics(
  context: Pick<AgentContext, 'gweVersion' | 'settings' | 'outbox' | 'ledger' | 'budget'>,
  gathered: GatheredReports,
  checkIn: { isGood: boolean },
): string {
  return [...ownMetrics(context, gathered, checkIn), ...appMetrics(gathered.apps), ...trafficMetrics(context)]
    .map(renderMetric)
    .join('');
}

function ownMetrics(
  context: Pick<AgentContext, 'gweVersion' | 'settings' | 'outbox'>,
  { clock }: GatheredReports,
  checkIn: { isGood: boolean },
): Metric[] {
  const labels = { version: context.gweVersion, target: `linux-${process.arch}` };
  const gauge = (name: string, help: string, value: number): Metric => ({
    name,
    type: 'gauge',
    help,
    samples: [[{}, value]],
  });
  return [
    { name: 'gwe_info', type: 'gauge', help: 'The running version of gwe.', samples: [[labels, 1]] },
    gauge('gwe_last_check_in_timestamp_seconds', 'When this file was written.', clock.now),
    gauge('gwe_last_check_in_success', 'Whether the platform answered then.', Number(checkIn.isGood)),
    gauge('gwe_check_in_interval_seconds', 'Pause between check-ins.', context.settings().updateIntervalS),
    gauge('gwe_reports_waiting', 'Reports of updates that wait to be sent.', context.outbox.size()),
    gauge(
      'gwe_clock_right',
      "Whether the clock agrees with the platform's.",
      Number(clock.state === 'right'),
    ),
  ];
}

function appMetrics(apps: readonly AppFacts[]): Metric[] {
  const table = readProcessTable(createSystemFiles());
  const trees = new Map(apps.map(({ app, pid }) => [app, pid === undefined ? undefined : table.tree(pid)]));
  const gauge = (name: string, help: string, sample: (facts: AppFacts) => Sample): Metric => ({
    name,
    type: 'gauge',
    help,
    samples: apps.map(sample),
  });
  return [
    gauge('gwe_app_info', 'The active version of an app.', ({ app, version, digest = '', previous = '' }) => [
      { app, version, digest, previous },
      1,
    ]),
    gauge('gwe_app_state', "supervisord's state of its program.", ({ app, status }) => [
      { app, state: status },
      1,
    ]),
    gauge('gwe_app_up', 'Whether its program is RUNNING.', ({ app, status }) => [
      { app },
      Number(status === 'RUNNING'),
    ]),
    gauge('gwe_app_exit_status', 'Last exit status of its program.', ({ app, exitStatus }) => [
      { app },
      exitStatus,
    ]),
    {
      ...gauge('gwe_app_restarts_total', 'Starts of its program after the first.', ({ app, restarts }) => [
        { app },
        restarts,
      ]),
      type: 'counter',
    },
    gauge('gwe_app_memory_bytes', 'Memory of its processes.', ({ app }) => [
      { app, kind: trees.get(app)?.memoryKind ?? '' },
      trees.get(app)?.memoryBytes,
    ]),
    {
      ...gauge('gwe_app_cpu_seconds_total', 'CPU time of its processes.', ({ app }) => [
        { app },
        trees.get(app)?.cpuSeconds,
      ]),
      type: 'counter',
    },
    gauge('gwe_app_last_update_timestamp_seconds', 'Outcome of its last update.', ({ app, last }) => [
      { app, outcome: last?.outcome ?? '', version: last?.version ?? '' },
      last === undefined ? undefined : Math.round(last.endedAtMs / 1000),
    ]),
  ];
}

function trafficMetrics(context: Pick<AgentContext, 'ledger' | 'budget'>): Metric[] {
  const cells = Object.entries(context.ledger.book().totals).flatMap(([iface, row]) =>
    Object.entries(row).map(([purpose, cell]) => ({ labels: { interface: iface, purpose }, cell })),
  );
  const budget = context.budget.state();
  const metrics: Metric[] = [
    {
      name: 'gwe_traffic_bytes_total',
      type: 'counter',
      help: 'TCP payload, TLS included.',
      samples: cells.flatMap(({ labels, cell }): Sample[] => [
        [{ ...labels, direction: 'in' }, cell.rx],
        [{ ...labels, direction: 'out' }, cell.tx],
      ]),
    },
    {
      name: 'gwe_traffic_requests_total',
      type: 'counter',
      help: 'Requests to the platform.',
      samples: cells.map(({ labels, cell }) => [labels, cell.num]),
    },
  ];
  if (budget === undefined) return metrics;
  const gauge = (name: string, help: string, value: number): Metric => ({
    name,
    type: 'gauge',
    help,
    samples: [[{}, value]],
  });
  return [
    ...metrics,
    gauge('gwe_budget_limit_bytes', 'Data budget of the month.', budget.limitBytes),
    gauge('gwe_budget_used_bytes', 'How much of it is used.', budget.usedBytes),
  ];
}

/** Nothing at all for a metric without a sample. */
function renderMetric({ name, type, help, samples }: Metric): string {
  const lines = samples.flatMap(([labels, value]) =>
    value === undefined || !Number.isFinite(value) ? [] : [`${name}${renderLabels(labels)} ${value}`],
  );
  return lines.length === 0 ? '' : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`;
}

function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}
