/** Has the boot guard run before every start of supervisord, by whatever starts that on this gateway. */
import { existsSync } from 'node:fs';
import { removeFileDurable, writeFileDurable } from '../base/fs.ts';
import {
  type Layout,
  SUPERVISOR_UNIT_NAMES,
  supervisorDropIn,
  supervisorUnitFiles,
} from '../store/layout.ts';
import { act, putText, requireOwn, type ServiceOptions, textOf } from './actions.ts';
import { isBootGuard, renderBootGuard } from './boot-guard.ts';
import { systemctl } from './managers.ts';

const DROP_IN_MARKER = '# written by gwe service install; changes are lost at the next one';
const LINE_MARKER = '# written by gwe service install: the next line looks after its entries before a start';

type HookLayout = Pick<
  Layout,
  'root' | 'bootGuard' | 'unitsDirectory' | 'supervisorDefaults' | 'supervisorInit'
>;

/** Throws STORE_IO for files in the way that are not of gwe. */
export function requireOwnGuard(layout: HookLayout): void {
  requireOwn(layout.bootGuard, isBootGuard(textOf(layout.bootGuard) ?? ''));
  for (const unit of SUPERVISOR_UNIT_NAMES) {
    const path = supervisorDropIn(layout, unit);
    requireOwn(path, isOwnDropIn(path));
  }
}

/** Whether the guard runs before supervisord starts the next time. */
export function isGuarded(layout: HookLayout): boolean {
  if (!isBootGuard(textOf(layout.bootGuard) ?? '')) return false;
  const isBySystemd = SUPERVISOR_UNIT_NAMES.some((unit) => isOwnDropIn(supervisorDropIn(layout, unit)));
  return isBySystemd || (textOf(layout.supervisorDefaults) ?? '').includes(LINE_MARKER);
}

export async function installGuard(options: ServiceOptions): Promise<void> {
  const { layout } = options;
  await putText(options, layout.bootGuard, renderBootGuard(layout), 0o755);
  const unit = findUnit(layout);
  if (unit !== undefined) await hookUnit(options, unit);
  // A file of the package's configuration: where systemd starts supervisord nothing reads it, and it stays as it is.
  const isByInit = (unit === undefined || !systemdRuns(layout)) && sourcesDefaults(layout);
  if (isByInit) await hookDefaults(options);
  if (unit !== undefined || isByInit) return;
  options.say(
    `no boot guard: neither a unit of systemd nor ${layout.supervisorInit} that reads ${layout.supervisorDefaults} starts supervisord here; ` +
      `to do: have ${layout.bootGuard} run right before supervisord, or make sure that log directories and users of apps survive a reboot`,
  );
}

export async function removeGuard(options: ServiceOptions): Promise<void> {
  const { layout } = options;
  for (const unit of SUPERVISOR_UNIT_NAMES) {
    const path = supervisorDropIn(layout, unit);
    if (!isOwnDropIn(path)) continue;
    await act(options, `remove ${path}`, () => removeFileDurable(path));
    await systemctl(options, 'daemon-reload');
  }
  const defaults = textOf(layout.supervisorDefaults) ?? '';
  if (defaults.includes(LINE_MARKER)) {
    const path = layout.supervisorDefaults;
    await act(options, `remove gwe's line from ${path}`, () =>
      writeFileDurable(path, withoutLine(defaults), 0o644),
    );
  }
  if (isBootGuard(textOf(layout.bootGuard) ?? ''))
    await act(options, `remove ${layout.bootGuard}`, () => removeFileDurable(layout.bootGuard));
}

/**
 * ExecStartPre runs as supervisord will, with the same environment; `-`: whatever becomes of it, supervisord starts.
 */
async function hookUnit(options: ServiceOptions, unit: string): Promise<void> {
  const path = supervisorDropIn(options.layout, unit);
  const guard = options.layout.bootGuard.replaceAll('%', '%%');
  const text = `${DROP_IN_MARKER}\n[Service]\nExecStartPre=-${guard}\n`;
  if (await putText(options, path, text, 0o644)) await systemctl(options, 'daemon-reload');
}

/** /etc/init.d/supervisor sources it with its own first argument in place, before everything else. */
async function hookDefaults(options: ServiceOptions): Promise<void> {
  const { supervisorDefaults: path, bootGuard } = options.layout;
  const before = textOf(path) ?? '';
  const text = `${withoutLine(before)}${renderLine(bootGuard)}`;
  if (text === before) {
    options.say(`keep ${path}`);
    return;
  }
  await act(options, `add a line to ${path}, for the boot guard`, () => writeFileDurable(path, text, 0o644));
  options.say(
    `${path} is a configuration file of the package supervisor: if an upgrade of the package asks about it, keep this version`,
  );
}

function renderLine(guard: string): string {
  return `${LINE_MARKER}\n[ "\${1:-}" != start ] || [ ! -x '${guard}' ] || '${guard}' || :\n`;
}

function withoutLine(text: string): string {
  const lines = text.split('\n');
  const at = lines.indexOf(LINE_MARKER);
  if (at >= 0) lines.splice(at, 2);
  const rest = lines.join('\n');
  return rest === '' || rest.endsWith('\n') ? rest : `${rest}\n`;
}

function findUnit(layout: HookLayout): string | undefined {
  return SUPERVISOR_UNIT_NAMES.find((unit) => supervisorUnitFiles(layout, unit).some(existsSync));
}

function isOwnDropIn(path: string): boolean {
  return (textOf(path) ?? '').startsWith(`${DROP_IN_MARKER}\n`);
}

function systemdRuns(layout: HookLayout): boolean {
  return layout.root === '/' && existsSync('/run/systemd/system');
}

function sourcesDefaults(layout: HookLayout): boolean {
  return /^\s*\.\s+\/etc\/default\/supervisor\b/m.test(textOf(layout.supervisorInit) ?? '');
}
