/** Checks of gwe as a service: whether it runs, and whether it would start again. */
import { accessSync, constants, existsSync } from 'node:fs';
import { findOriginal } from '../adopt/find-original.ts';
import type { AgentContext } from '../agent/run/context.ts';
import { readLink, readTextBounded } from '../base/fs.ts';
import { lockHolder } from '../base/lock.ts';
import { isLauncher } from '../service/launcher.ts';
import { hasOwnUnit } from '../service/managers.ts';
import { MOST_UNCONFIRMED_STARTS, readStarts } from '../service/starts.ts';
import { currentLink, type Layout, programFile } from '../store/layout.ts';
import type { SupervisorClient } from '../supervisor/client.ts';
import { readFoundConfig } from '../supervisor/find-supervisor.ts';
import type { Check, Finding } from './check.ts';
import { gweCommand, shellLine, supervisorCommand } from './commands.ts';

const APP = 'gwe';
const LAUNCHER_BYTES = 64 * 1024;

export function serviceChecks(
  context: Pick<AgentContext, 'layout' | 'env' | 'settings'>,
  supervisor: SupervisorClient,
): Check[] {
  const { layout } = context;
  return [
    { id: 'service', run: () => checkService(layout) },
    { id: 'launcher', run: () => checkLauncher(layout) },
    { id: 'start', run: () => checkStart(context, supervisor) },
    { id: 'running', run: () => checkRunning(context, supervisor) },
  ];
}

function checkService(layout: Layout): Finding {
  const current = readLink(currentLink(layout, APP));
  if (current === undefined) return notInstalled(layout);
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
    finding: `version ${current} never checked in; the launcher starts the previous one`,
    mend: 'install a version that works: copy its executable here and run it with service install',
  };
}

function notInstalled(layout: Layout): Finding {
  const original = findOriginal(layout);
  const isInPlace = original?.executable !== undefined || original?.ownEntry !== undefined;
  const words = isInPlace ? ['adopt'] : ['service', 'install'];
  return {
    status: 'warn',
    finding: `not installed as a service${isInPlace ? ', and the original Gateway Engine is there instead' : ''}`,
    mend: `run 'gwe ${words.join(' ')}'`,
    run: gweCommand(layout, ...words),
  };
}

function isInstalled(layout: Layout): boolean {
  return readLink(currentLink(layout, APP)) !== undefined;
}

/** Also where the launcher, and so the command, is gone. */
function installAgain(layout: Layout): string {
  const root = layout.root === '/' ? [] : ['--root', layout.root];
  return shellLine(`${currentLink(layout, APP)}/gwe`, 'service', 'install', ...root);
}

/** Without it nothing starts gwe, and nobody can call it. */
function checkLauncher(layout: Layout): Finding {
  const { launcher } = layout;
  if (!isInstalled(layout)) return { status: 'ok', finding: 'none is needed: not installed as a service' };
  if (!existsSync(launcher))
    return { status: 'fail', finding: `'${launcher}' does not exist`, run: installAgain(layout) };
  try {
    accessSync(launcher, constants.X_OK);
  } catch {
    return {
      status: 'fail',
      finding: `'${launcher}' is not executable`,
      run: shellLine('chmod', '755', launcher),
    };
  }
  if (isLauncher(readTextBounded(launcher, LAUNCHER_BYTES) ?? ''))
    return { status: 'ok', finding: `'${launcher}' starts gwe` };
  return {
    status: 'fail',
    finding: `'${launcher}' is not the launcher`,
    run: `${shellLine('mv', launcher, `${launcher}.other`)} && ${installAgain(layout)}`,
  };
}

/** Whether gwe starts at the next boot. */
async function checkStart(
  context: Pick<AgentContext, 'layout' | 'env' | 'settings'>,
  supervisor: SupervisorClient,
): Promise<Finding> {
  const { layout } = context;
  const entry = programFile(layout, APP);
  if (hasOwnUnit(layout)) return { status: 'ok', finding: 'systemd starts gwe' };
  if (!existsSync(entry))
    return isInstalled(layout)
      ? {
          status: 'fail',
          finding: `'${entry}' does not exist: nothing starts gwe`,
          run: installAgain(layout),
        }
      : { status: 'ok', finding: 'nothing starts gwe: not installed as a service' };
  if (await isKnown(supervisor)) return { status: 'ok', finding: `supervisord starts gwe, by '${entry}'` };
  const config = readFoundConfig(context.env, layout.root, context.settings());
  const finding = `'${entry}' exists, but supervisord has not read it`;
  if (config === undefined) return { status: 'fail', finding, mend: "see 'supervisord'" };
  return { status: 'fail', finding, run: includeAndUpdate(config) };
}

function includeAndUpdate({ path, includes }: { path: string; includes: readonly unknown[] }): string {
  const update = supervisorCommand(path, 'update', APP);
  if (includes.length > 0) return update;
  return `printf '\\n[include]\\nfiles = conf.d/*.conf\\n' >> ${shellLine(path)} && ${update}`;
}

/** Also when it cannot be asked: another check says that. */
async function isKnown(supervisor: SupervisorClient): Promise<boolean> {
  try {
    return (await supervisor.getAllProcessInfo()).some(({ group, name }) => group === APP || name === APP);
  } catch {
    return true;
  }
}

/** One that sleeps between check-ins holds its lock. */
async function checkRunning(
  { layout, env, settings }: Pick<AgentContext, 'layout' | 'env' | 'settings'>,
  supervisor: SupervisorClient,
): Promise<Finding> {
  const holder = lockHolder(layout.agentLock);
  if (holder !== undefined) return { status: 'ok', finding: `gwe runs (process ${holder.pid})` };
  const finding = 'gwe is not running: nothing is updated';
  if (hasOwnUnit(layout)) return { status: 'fail', finding, run: 'systemctl start gwe' };
  if (existsSync(programFile(layout, APP)) && (await isKnown(supervisor))) {
    const config = readFoundConfig(env, layout.root, settings());
    return { status: 'fail', finding, run: supervisorCommand(config?.path, 'start', APP) };
  }
  return { status: isInstalled(layout) ? 'fail' : 'warn', finding, mend: "see 'service' and 'start'" };
}
