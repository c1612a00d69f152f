/** Builds what every check-in needs from the files of a root; what carries out updates is built in `compose-runner.ts`. */
import { join } from 'node:path';
import { type Clock, createSystemClock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { BUILD_TIME_S } from '../base/version.ts';
import { createEngineConfigReader, loadGatewayConfig } from '../config/files.ts';
import { type ContentApi, createContentApi } from '../protocol/content.ts';
import { parseHttpDate } from '../protocol/status.ts';
import { createTransport, type Transport, type TransportSettings } from '../protocol/transport.ts';
import { createInstalledStore } from '../store/installed.ts';
import type { Layout } from '../store/layout.ts';
import { createSupervisorClient, findSupervisorSocket } from '../supervisor/client.ts';
import { createJournal } from '../update/journal.ts';
import { createBudget } from './budget.ts';
import { type ClockFloor, createClockFloor } from './clock-floor.ts';
import { createIdSource } from './command.ts';
import type { AgentContext } from './context.ts';
import { orLastGood } from './damage.ts';
import { requireProduct } from './identity.ts';
import { createOutbox } from './outbox.ts';
import { createProgress } from './progress.ts';
import { maySetClock, setClock } from './set-clock.ts';
import { createTicketFile } from './ticket-file.ts';
import { type TrafficCounter, trafficInterface } from './traffic.ts';
import { createTrafficLedger } from './traffic-ledger.ts';
import { createWatcher } from './watch.ts';

export interface ComposeOptions {
  layout: Layout;
  log: Logger;
  /** gwe's own environment. */
  env: Readonly<Record<string, string | undefined>>;
  gweVersion: string;
  /** Aborts when gwe is asked to stop. */
  signal: AbortSignal;
  /** Tries of a call to supervisord instead of the configured ones: a person does not wait long for an answer. */
  supervisorAttempts?: number;
  /** How to bring about a restart of the agent; without it the next start takes the new gwe anyway. */
  restart?(): void;
}

const SUPERVISOR_TIMEOUT_MS = 30_000;

/** Configuration is read afresh at each use: a set command takes effect without a restart where it can. */
export function composeContext(options: ComposeOptions): AgentContext {
  const { layout, log, env, gweVersion } = options;
  const clock = createSystemClock();
  const engineConfig = createEngineConfigReader(layout.engineConfig);
  const settings = orLastGood(() => engineConfig().values, log);
  const supervisor = (timeoutMs?: number) =>
    createSupervisorClient({
      socketPath: findSupervisorSocket(env, layout.root, settings().supervisorSocket),
      timeoutMs: timeoutMs ?? SUPERVISOR_TIMEOUT_MS,
      maxAttempts:
        timeoutMs === undefined ? (options.supervisorAttempts ?? settings().maxSupervisorRpcAttempts) : 1,
      clock,
      signal: options.signal,
    });
  const journal = createJournal(layout.journal);
  const outbox = createOutbox(layout.outboxDirectory);
  const clockFloor = composeClockFloor(options, clock, () => settings().setClock);
  const device = () => loadGatewayConfig(layout.gatewayConfig).values;
  const ledger = createTrafficLedger({
    layout,
    log,
    heardMs: clockFloor.platformMs,
    // Over TLS the platform tells the time; over plain http nobody does.
    plainMs: () =>
      settings().platformUrl.startsWith('http:') && !clockFloor.isBelow() ? clock.wallMs() : undefined,
    iface: () => trafficInterface(device().iface),
  });
  return {
    layout,
    clock,
    log,
    env,
    gweVersion,
    settings,
    device,
    installed: createInstalledStore(layout.installed),
    journal,
    outbox,
    supervisor,
    watcher: createWatcher({ layout, log, settings, supervisor }),
    clockFloor,
    ledger,
    budget: createBudget({ layout, ledger, journal, settings }),
    progress: createProgress(),
    newId: createIdSource(clock, journal, outbox),
    restart: options.restart ?? (() => undefined),
  };
}

function composeClockFloor(
  { layout, log, env, signal }: ComposeOptions,
  clock: Clock,
  wish: () => string,
): ClockFloor {
  return createClockFloor({
    clock,
    log,
    path: layout.clock,
    buildTimeS: BUILD_TIME_S,
    maySet: () => maySetClock({ root: layout.root, uid: process.getuid?.(), wish: wish() }),
    set: (unixS) => setClock(unixS, { path: env.PATH, clock, signal }),
  });
}

/** How to reach the platform by the present configuration. Throws CONFIG_NO_IDENTITY without a product. */
export function platformSettings(
  context: Pick<AgentContext, 'settings' | 'device' | 'env' | 'gweVersion'>,
): TransportSettings {
  const settings = context.settings();
  const { model } = requireProduct(context.device());
  const optional = (key: string, value: string) => (value === '' ? {} : { [key]: value });
  return {
    baseUrl: settings.platformUrl === '' ? `https://${model}.m2.exosite.io` : settings.platformUrl,
    userAgent: settings.userAgent === '' ? `GatewayEngine-v${context.gweVersion}` : settings.userAgent,
    timeoutMs: settings.httpTimeoutS * 1000,
    allowInsecureHttp: settings.insecureHttp,
    env: context.env,
    ...optional('caFile', settings.caFile),
    ...optional('clientCertFile', settings.clientCertFile),
    ...optional('clientKeyFile', settings.clientKeyFile),
  };
}

/**
 * The connection to the platform by the present configuration. Throws CONFIG_* for one that cannot work. `probeAfterMs` is
 * for requests whose answers take long.
 */
export function composeTransport(
  context: AgentContext,
  traffic: TrafficCounter,
  probeAfterMs?: number,
): Transport {
  const settings = platformSettings(context);
  const { baseUrl, caFile = '', clientCertFile = '' } = settings;
  const transport = createTransport(probeAfterMs === undefined ? settings : { ...settings, probeAfterMs }, {
    clock: context.clock,
    onDate: (text) => context.clockFloor.heard(parseHttpDate(text)),
    onTraffic(one) {
      traffic.add(one.purpose, one.rxBytes, one.txBytes, one.isLast);
      context.ledger.add(one);
    },
    tickets: createTicketFile(
      join(context.layout.runDirectory, 'tls-ticket'),
      [baseUrl, caFile, clientCertFile].join(' '),
      (error) => context.log.warn('tls.ticket', {}, describeError(error)),
    ),
  });
  return {
    ...transport,
    async request(request) {
      context.budget.gate(request.purpose);
      return transport.request(request);
    },
    async stream(request) {
      context.budget.gate(request.purpose);
      return transport.stream(request);
    },
  };
}

export function composeContentApi(context: AgentContext, transport: Transport): ContentApi {
  const product = requireProduct(context.device());
  const style = context.settings().activationStyle === 'id' ? 'id' : 'triple';
  return createContentApi(
    transport,
    () => context.device().cik || undefined,
    { ...product, style },
    context.clock,
    context.settings().maxReplyBytes,
  );
}
