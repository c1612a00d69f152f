/** What install.sh does to the gateway under its own feet, and the end of all processes that a reboot is. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootId, readProcessStat } from '../../src/base/process.ts';

const GWE_PID = `sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p' "$root/run/gwe/agent.lock"`;
/** supervisord would not come back with a broken entry. */
const UNLESS_BROKEN = `grep -q 'numprocs = abc' "$root/etc/supervisor/conf.d/other.conf" 2>/dev/null ||`;

/** Lines for `installScript`; each does it at every run. */
export const RESTARTS = {
  'restarts gwe': `kill $(${GWE_PID}); sleep 0.5`,
  'restarts supervisord': `${UNLESS_BROKEN} {
  kill $(cat "$root/run/supervisord.pid")
  while [ -S "$root/run/supervisor.sock" ]; do sleep 0.1; done
  setsid /usr/bin/supervisord -c "$root/etc/supervisor/supervisord.conf" </dev/null >/dev/null 2>&1
  while [ ! -S "$root/run/supervisor.sock" ]; do sleep 0.1; done
}`,
  reboots: `${UNLESS_BROKEN} {
  touch "$root/down"
  while :; do kill -9 $(${GWE_PID}) 2>/dev/null; sleep 0.1; done
}`,
} as const;

/** Ends the install.sh that runs, with the shell that waits for it, as a power cut does. */
export function killScript(root: string): void {
  const path = join(root, 'script.pid');
  const pid = existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0;
  const group = isScriptOf(root, pid) ? readProcessStat(pid)?.pgid : undefined;
  rmSync(path, { force: true });
  if (group === undefined) return;
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}

function isScriptOf(root: string, pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`GWE_APP_DIR=${root}/`);
  } catch {
    return false;
  }
}

/** Whether install.sh has asked for a reboot; asked once. */
export function takeReboot(root: string): boolean {
  const path = join(root, 'down');
  if (!existsSync(path)) return false;
  rmSync(path);
  return true;
}

/** Makes what was written in this boot that of another one. */
export function pretendReboot(root: string): void {
  const state = join(root, 'var/lib/gwe');
  for (const entry of readdirSync(state, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || !/\.(json|info)$/.test(path)) continue;
    const text = readFileSync(path, 'utf8');
    if (text.includes(bootId())) writeFileSync(path, text.replaceAll(bootId(), 'the-boot-before'));
  }
}
