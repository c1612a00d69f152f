/** Gateways as lines of CSV, for the browser to save. */
import type { Gateway } from './replies.ts';

const COLUMNS = ['serial', 'state', 'last_seen', 'silent', 'gwe', 'target', 'free_bytes', 'apps', 'tags'];

export function csvOf(gateways: readonly Gateway[]): string {
  const lines = gateways.map((gateway) =>
    [
      gateway.serial,
      gateway.state,
      gateway.lastSeenAt === 0 ? '' : new Date(gateway.lastSeenAt * 1000).toISOString(),
      String(gateway.isSilent),
      gateway.gweVersion ?? '',
      gateway.target ?? '',
      String(gateway.freeBytes ?? ''),
      [...gateway.apps].map(([app, { version }]) => `${app} ${version}`).join('; '),
      [...gateway.tags].map(([name, value]) => `${name}=${value}`).join('; '),
    ].map(cell),
  );
  return [COLUMNS, ...lines].map((line) => `${line.join(',')}\r\n`).join('');
}

/** A spreadsheet would calculate a field that begins with one of these signs. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function save(name: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type: 'text/csv' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
