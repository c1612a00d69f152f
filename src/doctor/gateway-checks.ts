/** Checks of gwe itself: configuration, locks, supervisord, the service. */
import { existsSync } from 'node:fs';
import { lostWays } from '../agent/admission/ways-back.ts';
import { scriptUser } from '../agent/effects/install-script.ts';
import type { AgentContext } from '../agent/run/context.ts';
import { requireProduct, resolveSerial } from '../agent/run/identity.ts';
import { releaseState } from '../agent/run/release-lists.ts';
import { describeError, GweError } from '../base/errors.ts';
import { lockHolder } from '../base/lock.ts';
import { exposesSecret, loadEngineConfig, loadGatewayConfig } from '../config/config-files.ts';
import { isGuarded } from '../service/guard-hooks.ts';
import { readGatewayKeys } from '../store/gateway-keys.ts';
import type { Layout } from '../store/layout.ts';
import { listSetAside, reasonSetAside } from '../store/set-aside.ts';
import { lackOfKeys } from '../store/trust.ts';
import type { SupervisorClient } from '../supervisor/client.ts';
import { findListener, readFoundConfig } from '../supervisor/find-supervisor.ts';
import { readingFault } from '../supervisor/readable.ts';
import type { Check, Finding } from './check.ts';
import { AS_ROOT, gweCommand, isRoot, shellLine } from './commands.ts';
import { checkMetrics } from './metrics.ts';
import { serviceChecks } from './service-checks.ts';

/** What supervisord has called its interface since version 3. */
const API_VERSION = '3.0';

export function gatewayChecks(
  context: Pick<AgentContext, 'layout' | 'log' | 'env' | 'settings' | 'installed' | 'clock' | 'clockFloor'>,
  supervisor: SupervisorClient,
): Check[] {
  const { layout } = context;
  return [
    { id: 'config', run: () => checkConfig(layout) },
    { id: 'identity', run: () => checkIdentity(layout) },
    { id: 'locks', run: () => checkLocks(layout) },
    { id: 'keys', run: () => checkKeys(layout) },
    ...releaseChecks(context),
    { id: 'way-back', run: () => checkWaysBack(context) },
    { id: 'run-as', run: () => checkScriptUser(context) },
    { id: 'metrics', run: () => checkMetrics(layout, context.settings().metricsFile) },
    { id: 'supervisord', run: () => checkSupervisor(context, supervisor) },
    ...serviceChecks(context, supervisor),
    { id: 'boot-guard', run: () => checkGuard(layout) },
  ];
}

function checkConfig(layout: Layout): Finding {
  const { gatewayConfig, engineConfig } = layout;
  const problems: string[] = [];
  let unreadable: readonly string[] | undefined;
  try {
    const engine = loadEngineConfig(engineConfig);
    unreadable = engine.values.unreadable;
    for (const config of [loadGatewayConfig(gatewayConfig), engine]) problems.push(...config.problems);
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    if (!isRoot() && /EACCES|EPERM|permission denied/i.test(describeError(error)))
      return { status: 'fail', finding: describeError(error), ...AS_ROOT };
    const mend = 'move it away, and set this gateway up again (gwe --set-product-id PID --set-iface eth0)';
    return { status: 'fail', finding: describeError(error), mend };
  }
  if (problems.length > 0) {
    const status = unreadable === undefined ? 'warn' : 'fail';
    return { status, finding: problems.join('; '), mend: `edit ${gatewayConfig} or ${engineConfig}` };
  }
  if (exposesSecret(engineConfig)) {
    const finding = `users other than its owner may read ${engineConfig}, which holds a password`;
    return { status: 'warn', finding, mend: `chmod 600 ${engineConfig}` };
  }
  if (!existsSync(gatewayConfig))
    return { status: 'ok', finding: `no ${gatewayConfig} yet: defaults are in force` };
  return { status: 'ok', finding: 'both files are understood' };
}

function checkIdentity(layout: Layout): Finding {
  const device = loadGatewayConfig(layout.gatewayConfig).values;
  const { model } = requireProduct(device);
  const { serial, fromInterface } = resolveSerial(device, layout.root);
  const source = fromInterface ? `, the MAC of ${device.iface}` : '';
  return { status: 'ok', finding: `product ${model}, serial ${serial}${source}` };
}

/** gwe takes over a dead owner's lock without help; it is reported because it shows that something was killed. */
function checkLocks(layout: Layout): Finding {
  const locks = [
    { path: layout.agentLock, held: 'the agent runs' },
    { path: layout.transactionLock, held: 'an update is under way' },
  ];
  const stale = locks.filter(({ path }) => existsSync(path) && lockHolder(path) === undefined);
  const held = locks.flatMap(({ path, held: words }) => {
    const owner = lockHolder(path);
    return owner === undefined ? [] : [`${words} (process ${owner.pid})`];
  });
  const holders = held.length === 0 ? 'no gwe is running' : held.join(', ');
  if (stale.length === 0) return { status: 'ok', finding: holders };
  return {
    status: 'warn',
    finding: `${holders}; '${stale.map(({ path }) => path).join("', '")}' is of a process that is gone`,
    mend: 'nothing: the next gwe takes the lock over; its log says how the last one ended',
  };
}

/** Where no key has the power there is nothing to tell. */
function releaseChecks(context: Parameters<typeof releaseState>[0]): Check[] {
  try {
    if (releaseState(context) === undefined) return [];
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
  }
  return [{ id: 'releases', run: () => checkReleases(context) }];
}

/** Whether what was released is known, and still counts. */
function checkReleases(context: Parameters<typeof releaseState>[0]): Finding {
  const found = releaseState(context);
  if (found === undefined) return { status: 'ok', finding: 'no release list is required' };
  const mend = "sign a new list ('gwe releases make', 'gwe releases sign'), and upload it as gwe-releases";
  if (found.state === 'missing')
    return { status: 'fail', finding: 'releases: missing, and nothing new is installed without', mend };
  const until = new Date((found.expires ?? 0) * 1000).toISOString();
  const finding = `releases: ${found.state}, release ${found.release} until ${until}`;
  return found.state === 'fresh' ? { status: 'ok', finding } : { status: 'warn', finding, mend };
}

/** Whom signatures are demanded of: a gateway that nobody can sign for takes no update. */
function checkKeys(layout: Layout): Finding {
  const ring = readGatewayKeys(layout);
  const { requireSignatures } = loadEngineConfig(layout.engineConfig).values;
  const lack = lackOfKeys(ring, requireSignatures);
  const found = [...ring.problems, ...(lack === undefined ? [] : [lack])];
  const names = ring.keys.map(({ name }) => name).join(', ');
  if (found.length > 0) {
    const mend = "see 'gwe keys list'; 'gwe keys add' or 'gwe keys remove', or set require_signatures";
    return {
      status: ring.problems.length > 0 || ring.keys.length < requireSignatures ? 'fail' : 'warn',
      finding: found.join('; '),
      mend,
    };
  }
  if (names === '') return { status: 'ok', finding: 'none: unsigned tarballs are installed' };
  const retired = ring.retired.map(({ name }) => name).join(', ');
  const more = retired === '' ? '' : `; only for rollbacks: ${retired}`;
  return { status: 'ok', finding: `${requireSignatures} of ${ring.keys.length} must sign: ${names}${more}` };
}

/** gwe does not roll back to a version without a trusted signature: an update that fails leaves the app down. */
function checkWaysBack(context: Pick<AgentContext, 'layout' | 'log' | 'settings' | 'installed'>): Finding {
  const lost = lostWays(context);
  if (lost.length === 0)
    return { status: 'ok', finding: 'every app could be rolled back to its active version' };
  return {
    status: 'warn',
    finding: lost.join('; '),
    mend: 'install versions that a trusted key has signed',
  };
}

/** Where there is no such user, no install.sh would run. */
function checkScriptUser(context: Pick<AgentContext, 'layout' | 'settings'>): Finding {
  try {
    return { status: 'ok', finding: `install.sh runs as ${scriptUser(context)?.name ?? 'the user of gwe'}` };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    if (!isRoot()) return { status: 'fail', finding: describeError(error), ...AS_ROOT };
    const run = gweCommand(context.layout, 'config', 'set', 'run_as=nobody');
    return { status: 'fail', finding: describeError(error), run };
  }
}

async function checkSupervisor(
  context: Pick<AgentContext, 'layout' | 'env' | 'settings'>,
  supervisor: SupervisorClient,
): Promise<Finding> {
  const { status, finding, ...advice } = await askSupervisor(supervisor);
  const { where, problem } = describeSupervisor(context);
  if (status === 'ok' && problem !== undefined)
    return {
      status: 'warn',
      finding: `${finding}; ${where}; ${problem}`,
      mend: "name one in its section [include], as 'files = conf.d/*.conf', or set supervisor_programs",
    };
  return { status, finding: `${finding}; ${where}`, ...advice };
}

/** Which address, configuration and place of program entries count here. */
function describeSupervisor({ layout, env, settings }: Pick<AgentContext, 'layout' | 'env' | 'settings'>): {
  where: string;
  problem?: string;
} {
  const config = readFoundConfig(env, layout.root, settings());
  const { address, username } = findListener(env, layout.root, settings());
  const entries = `${layout.programsDirectory}/${layout.programPrefix}*${layout.programSuffix}`;
  const login = username === undefined ? '' : `, as user ${username}`;
  const where = `at ${address}${login}, configured by ${config?.path ?? 'no file that gwe can read'}, program entries in ${entries}`;
  const isIncluded =
    config === undefined || settings().supervisorPrograms !== '' || config.includes.length > 0;
  return isIncluded
    ? { where }
    : { where, problem: 'it includes no files, so supervisord would not read them' };
}

async function askSupervisor(supervisor: SupervisorClient): Promise<Finding> {
  try {
    const [version, state] = await Promise.all([supervisor.getApiVersion(), supervisor.getState()]);
    const finding = `API ${version}, ${state}`;
    const fault = await readingFault(supervisor);
    if (fault !== undefined) return cannotRead(finding, fault);
    if (version === API_VERSION && state === 'RUNNING') return { status: 'ok', finding };
    return {
      status: 'warn',
      finding: `${finding}; expected API ${API_VERSION}, RUNNING`,
      mend: 'update supervisor to version 3 or later, or wait until it is up',
    };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    const finding = describeError(error);
    if (!isRoot() && finding.includes('EACCES')) return { status: 'fail', finding, ...AS_ROOT };
    const isAnswer = error.code === 'SUPERVISOR_REFUSED';
    const mend = isAnswer
      ? 'correct its configuration accordingly, and restart supervisord'
      : "install it ('apt-get install supervisor') and start it, or set its socket ('gwe --set supervisor_socket=PATH')";
    return { status: 'fail', finding, mend };
  }
}

/** It runs on by what it read before, until its next start. */
function cannotRead(finding: string, fault: GweError): Finding {
  return {
    status: 'fail',
    finding: `${finding}, but it can no longer read its configuration: ${describeError(fault)}`,
    mend: 'correct or remove the file named: until then no program can be updated, and supervisord would not start again',
    ...setAside(describeError(fault)),
  };
}

/** The file stays, under a name that supervisord does not read. */
function setAside(complaint: string): Pick<Finding, 'run'> {
  const named = [...complaint.matchAll(/(\/[^'"\s]+\.[a-z]+)/g)].flatMap(([, path = '']) =>
    existsSync(path) ? [path] : [],
  );
  const [path] = named;
  return path === undefined ? {} : { run: shellLine('mv', path, `${path}.broken`) };
}

/** Whether supervisord would start again whatever a reboot takes along. */
function checkGuard(layout: Layout): Finding {
  const aside = listSetAside(layout);
  if (aside.length > 0) {
    const reasons = aside.map((app) => `${app} (${reasonSetAside(layout, app) ?? ''})`);
    return {
      status: 'fail',
      finding: `set aside because supervisord could not start with it: the program entry of ${reasons.join(', ')}`,
      mend: 'correct what it names; gwe restores the entry at its next check-in',
    };
  }
  if (isGuarded(layout)) return { status: 'ok', finding: 'entries are checked before supervisord starts' };
  return {
    status: 'warn',
    finding:
      'nothing checks the entries before supervisord starts: an unreadable one would keep it, and gwe, from starting',
    mend: "run 'gwe service install'",
    run: gweCommand(layout, 'service', 'install'),
  };
}
