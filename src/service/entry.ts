/** What starts gwe at boot: its program entry for supervisord, or its unit for systemd. Pure. */
import type { Layout } from '../store/layout.ts';
import { type RenderedProgram, renderProgram } from '../supervisor/program.ts';

export type Manager = 'supervisord' | 'systemd';
export type Environment = Readonly<Record<string, string | undefined>>;

/** supervisord's own PATH at boot may be too short for what install scripts call. */
const SERVICE_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const PROXY_VARIABLES = ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY'];
const UNIT_MARKER = '# written by gwe service install; changes are lost at the next one';

interface ServiceEnvironment {
  variables: Record<string, string>;
  /** Proxy variables that are set here and stay out, because files that everybody may read must hold no password. */
  leftOut: string[];
}

/** The variables that the service gets: PATH, the root unless it is `/`, and the proxies of `env`. */
export function serviceEnvironment(layout: Layout, env: Environment): ServiceEnvironment {
  const variables: Record<string, string> = { PATH: SERVICE_PATH };
  if (layout.root !== '/') variables.GWE_ROOT = layout.root;
  const leftOut: string[] = [];
  for (const name of PROXY_VARIABLES) {
    const value = env[name.toLowerCase()] || env[name];
    if (value === undefined || value === '') continue;
    if (/[@"'\\\s]|[^\x20-\x7e]/.test(value)) leftOut.push(name);
    else variables[name] = value;
  }
  return { variables, leftOut };
}

/** The program entry; the log and its rotation are those of every app (one-platform.md §4.7). */
export function renderEntry(layout: Layout, variables: Readonly<Record<string, string>>): RenderedProgram {
  const source = [
    '[supervisord]',
    `command = ${escapePercent(layout.launcher)}`,
    'autostart = true',
    'autorestart = true',
    // supervisord must never give gwe up (src/agent/README.md, "The path of an update").
    'startretries = 1000000',
    'stopwaitsecs = 30',
    `environment = ${Object.entries(variables)
      .map(([name, value]) => `${name}="${escapePercent(value)}"`)
      .join(',')}`,
  ];
  return renderProgram('gwe', `${source.join('\n')}\n`, {
    logDirectory: layout.logDirectory,
    directory: '/',
  });
}

export function isOwnUnit(text: string): boolean {
  return text.startsWith(`${UNIT_MARKER}\n`);
}

/** The unit; its output goes to the journal. */
export function renderUnit(layout: Layout, variables: Readonly<Record<string, string>>): string {
  return [
    UNIT_MARKER,
    '[Unit]',
    'Description=Gateway Engine: keeps the software of this gateway up to date',
    'After=network.target',
    // systemd must never give gwe up.
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    `ExecStart=${escapePercent(layout.launcher)}`,
    'Restart=always',
    'RestartSec=5',
    // What an app's install.sh started is not gwe's to end.
    'KillMode=process',
    ...Object.entries(variables).map(([name, value]) => `Environment="${name}=${escapePercent(value)}"`),
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n');
}

function escapePercent(text: string): string {
  return text.replaceAll('%', '%%');
}
