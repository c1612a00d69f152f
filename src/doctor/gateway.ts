/** Checks of gwe itself: configuration, locks, supervisord, the service. */
import { existsSync } from 'node:fs';
import { requireProduct, resolveSerial } from '../agent/identity.ts';
import { describeError, GweError } from '../base/errors.ts';
import { readLink } from '../base/fs.ts';
import { lockHolder } from '../base/lock.ts';
import { loadEngineConfig, loadGatewayConfig } from '../config/files.ts';
import { MOST_UNCONFIRMED_STARTS, readStarts } from '../service/starts.ts';
import { currentLink, type Layout } from '../store/layout.ts';
import { lackOfKeys, readKeyRing } from '../store/trust.ts';
import type { SupervisorClient } from '../supervisor/client.ts';
import type { Check, Finding } from './check.ts';

/** What supervisord has called its interface since version 3. */
const API_VERSION = '3.0';

export function gatewayChecks(layout: Layout, supervisor: SupervisorClient): Check[] {
  return [
    { id: 'config', run: () => checkConfig(layout) },
    { id: 'identity', run: () => checkIdentity(layout) },
    { id: 'locks', run: () => checkLocks(layout) },
    { id: 'keys', run: () => checkKeys(layout) },
    { id: 'supervisord', run: () => checkSupervisor(supervisor) },
    { id: 'service', run: () => checkService(layout) },
  ];
}

function checkConfig(layout: Layout): Finding {
  const { gatewayConfig, engineConfig } = layout;
  const problems: string[] = [];
  try {
    for (const config of [loadGatewayConfig(gatewayConfig), loadEngineConfig(engineConfig)])
      problems.push(...config.problems);
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    const mend = 'move it away, and set this gateway up again (gwe --set-product-id PID --set-iface eth0)';
    return { status: 'fail', finding: describeError(error), mend };
  }
  if (problems.length > 0) {
    return { status: 'warn', finding: problems.join('; '), mend: `edit ${gatewayConfig} or ${engineConfig}` };
  }
  if (!existsSync(gatewayConfig)) return { status: 'ok', finding: `no ${gatewayConfig} yet: all defaults` };
  return { status: 'ok', finding: 'both files are understood' };
}

function checkIdentity(layout: Layout): Finding {
  const device = loadGatewayConfig(layout.gatewayConfig).values;
  const { model } = requireProduct(device);
  const { serial, fromInterface } = resolveSerial(device, layout.root);
  const source = fromInterface ? `, the MAC of ${device.iface}` : '';
  return { status: 'ok', finding: `product ${model}, serial ${serial}${source}` };
}

/** gwe takes a dead owner's lock over by itself; it is told because it says that something was killed. */
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
  const holders = held.length === 0 ? 'no gwe is at work' : held.join(', ');
  if (stale.length === 0) return { status: 'ok', finding: holders };
  return {
    status: 'warn',
    finding: `${holders}; '${stale.map(({ path }) => path).join("', '")}' is of a process that is gone`,
    mend: 'nothing: the next gwe takes it over; see its log for how the last one ended',
  };
}

/** Whom signatures are demanded of: a gateway that nobody can sign for takes no update. */
function checkKeys(layout: Layout): Finding {
  const ring = readKeyRing(layout.keysDirectory);
  const { requireSignatures } = loadEngineConfig(layout.engineConfig).values;
  const lack = lackOfKeys(ring, requireSignatures);
  const found = [...ring.problems, ...(lack === undefined ? [] : [lack])];
  const names = ring.keys.map(({ name }) => name).join(', ');
  if (found.length > 0) {
    const mend = "see 'gwe keys list'; 'gwe keys add' or 'gwe keys remove', or set require_signatures";
    return {
      status: ring.keys.length < requireSignatures ? 'fail' : 'warn',
      finding: found.join('; '),
      mend,
    };
  }
  if (names === '') return { status: 'ok', finding: 'none: unsigned tarballs are installed' };
  return { status: 'ok', finding: `${requireSignatures} of ${ring.keys.length} must sign: ${names}` };
}

async function checkSupervisor(supervisor: SupervisorClient): Promise<Finding> {
  try {
    const [version, state] = await Promise.all([supervisor.getApiVersion(), supervisor.getState()]);
    const finding = `API ${version}, ${state}`;
    if (version === API_VERSION && state === 'RUNNING') return { status: 'ok', finding };
    return {
      status: 'warn',
      finding: `${finding}; expected API ${API_VERSION}, RUNNING`,
      mend: 'update supervisor to version 3 or later, or wait until it is up',
    };
  } catch (error) {
    if (!(error instanceof GweError)) throw error;
    const finding = describeError(error);
    const mend = finding.includes('EACCES')
      ? 'its socket is for root: run gwe, and this, as root'
      : "install it ('apt-get install supervisor') and start it, or set its socket ('gwe --set supervisor_socket=PATH')";
    return { status: 'fail', finding, mend };
  }
}

function checkService(layout: Layout): Finding {
  const current = readLink(currentLink(layout, 'gwe'));
  if (current === undefined) {
    return { status: 'warn', finding: 'not installed as a service', mend: "run 'gwe service install'" };
  }
  const { confirmed, unconfirmed } = readStarts(layout);
  if (confirmed === current) return { status: 'ok', finding: `version ${current}, which has checked in` };
  if (unconfirmed < MOST_UNCONFIRMED_STARTS) {
    return {
      status: 'ok',
      finding: `version ${current}, started ${unconfirmed} times, has not checked in yet`,
    };
  }
  return {
    status: 'warn',
    finding: `version ${current} never checked in; the launcher starts the one before`,
    mend: 'install a version that works: copy its executable here and run it with service install',
  };
}
