/** The alerts that a platform comes with: Prometheus' own tool takes them, they watch what there is, and they go off. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MAX_ADMIN_CONNECTIONS, MAX_CONNECTIONS } from '../../../src/platform/bounds.ts';
import { httpRequest } from '../../helpers/http-request.ts';
import { startPlatform } from '../../helpers/platform.ts';

const FILE = fileURLToPath(new URL('../../../src/platform/alerts.yml', import.meta.url));
const TEXT = readFileSync(FILE, 'utf8');

test('promtool takes the rules', () => {
  assert.match(
    execFileSync('promtool', ['check', 'rules', FILE], { encoding: 'utf8' }),
    /SUCCESS: 8 rules found/,
  );
});

test('each number that they watch is one that a platform tells', async (t) => {
  const platform = await startPlatform();
  t.after(() => platform.close());
  const { body } = await httpRequest(`${platform.url}/metrics`, {
    headers: { Authorization: `Bearer ${platform.token}` },
  });
  const told = new Set([...body.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  const watched = new Set((TEXT.match(/\bgwe_[a-z_]+/g) ?? []).map((name) => name.replace(/_bucket$/, '')));
  assert.ok(watched.size >= 7);
  for (const name of watched) assert.ok(told.has(name), name);
});

test('connections are short where they are four fifths of what a listener takes', () => {
  for (const limit of [MAX_CONNECTIONS, MAX_ADMIN_CONNECTIONS])
    assert.ok(TEXT.includes(`limit="${limit}"} > ${0.8 * limit}`), `${limit}`);
});

/** What each alert is to go off at, and the series that have it do so; `0+1x60` is 0, 1, 2 and so on for an hour. */
const SERIES: Readonly<Record<string, readonly [series: string, values: string][]>> = {
  GwePlatformDown: [['up{job="gwe",instance="a"}', '0x60']],
  GweAnswersFail: [
    ['gwe_requests_total{route="read",status="200"}', '0+60x60'],
    ['gwe_requests_total{route="read",status="503"}', '0+2x60'],
  ],
  GweAnswersSlow: [
    ['gwe_request_seconds_bucket{route="read",le="1"}', '0+50x60'],
    ['gwe_request_seconds_bucket{route="read",le="5"}', '0+60x60'],
    ['gwe_request_seconds_bucket{route="read",le="+Inf"}', '0+60x60'],
  ],
  GweGatewaysLate: [
    ['gwe_devices{product="p",state="activated"}', '100x60'],
    ['gwe_devices_late', '6x60'],
  ],
  GweRolloutStopped: [['gwe_rollout_stopped_total', '0x30 1x29']],
  GweRequestsRefused: [['gwe_refused_total{reason="connections"}', '0+120x60']],
  GweConnectionsShort: [['gwe_connections{listener="devices",limit="12000"}', '9601x60']],
  GweEventLoopBusy: [['gwe_eventloop_lag_seconds{quantile="0.99"}', '0.6x60']],
};

test('each of them goes off where it should, and none does in a platform that is well', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'gwe-alerts-'));
  try {
    const names = [...TEXT.matchAll(/alert: (\w+)/g)].map(([, name = '']) => name);
    assert.deepEqual(names, Object.keys(SERIES));
    const query = (name: string) => ({
      expr: `count(ALERTS{alertname="${name}",alertstate="firing"})`,
      eval_time: '55m',
    });
    const bad = names.map((name) => ({
      interval: '1m',
      input_series: (SERIES[name] ?? []).map(([series, values]) => ({ series, values })),
      promql_expr_test: [{ ...query(name), exp_samples: [{ labels: '{}', value: 1 }] }],
    }));
    const well: [string, string][] = [
      ['up{job="gwe",instance="a"}', '1x60'],
      ['gwe_requests_total{route="read",status="200"}', '0+60x60'],
      ['gwe_request_seconds_bucket{route="read",le="1"}', '0+60x60'],
      ['gwe_request_seconds_bucket{route="read",le="+Inf"}', '0+60x60'],
      ['gwe_devices{product="p",state="activated"}', '100x60'],
      ['gwe_devices_late', '4x60'],
      ['gwe_rollout_stopped_total', '3x60'],
      ['gwe_refused_total{reason="connections"}', '0+1x60'],
      ['gwe_connections{listener="devices",limit="12000"}', '500x60'],
      ['gwe_eventloop_lag_seconds{quantile="0.99"}', '0.01x60'],
    ];
    const good = {
      interval: '1m',
      input_series: well.map(([series, values]) => ({ series, values })),
      promql_expr_test: names.map((name) => ({ ...query(name), exp_samples: [] })),
    };
    const file = join(scratch, 'alerts.test.yml');
    // JSON is YAML.
    writeFileSync(
      file,
      JSON.stringify({ rule_files: [FILE], evaluation_interval: '1m', tests: [...bad, good] }),
    );
    assert.match(execFileSync('promtool', ['test', 'rules', file], { encoding: 'utf8' }), /SUCCESS/);
  } finally {
    rmSync(scratch, { recursive: true });
  }
});
