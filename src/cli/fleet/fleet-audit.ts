/** `gwe fleet audit`: whether the record of what people did is unchanged. */
import * as v from 'valibot';
import { GweError } from '../../base/errors.ts';
import { type AuditEntry, verifyAudit } from '../../fleet/people/audit.ts';
import { CLIENT_OPTIONS, printJson } from '../platform/platform-options.ts';
import type { CommandCall, CommandSpec } from '../shell/command.ts';
import { callFleet, queryOf } from './fleet-client.ts';

export const auditCommands: readonly CommandSpec[] = [
  {
    path: ['fleet', 'audit', 'export'],
    positionals: [],
    summary: 'Print what people and the rule did, an entry of JSON a line',
    options: CLIENT_OPTIONS,
    run: exportAudit,
  },
  {
    path: ['fleet', 'audit', 'verify'],
    positionals: [],
    summary: 'Find a changed, missing or moved entry of the audit',
    options: [
      { name: 'head', value: 'NUMBER:DIGEST', help: 'the last entry that an earlier run has printed' },
      ...CLIENT_OPTIONS,
    ],
    run: verify,
  },
];

const ENTRIES = v.object({
  entries: v.array(
    v.object({
      number: v.number(),
      at: v.number(),
      actor: v.string(),
      request: v.string(),
      action: v.string(),
      target: v.string(),
      before: v.string(),
      after: v.string(),
      digest: v.string(),
    }),
  ),
});

async function readAudit(call: CommandCall): Promise<AuditEntry[]> {
  const entries: AuditEntry[] = [];
  for (let after = 0; ; ) {
    const path = `/audit${queryOf({ after: String(after), limit: '1000' })}`;
    const page = await callFleet(call, ENTRIES, { method: 'GET', path, what: 'read the audit' });
    entries.push(...page.entries);
    const last = page.entries.at(-1);
    if (last === undefined || last.number <= after) return entries;
    after = last.number;
  }
}

async function exportAudit(call: CommandCall): Promise<number> {
  const entries = await readAudit(call);
  if (call.options.has('json')) printJson(call, { entries });
  else for (const entry of entries) call.io.stdout(`${JSON.stringify(entry)}\n`);
  return 0;
}

async function verify(call: CommandCall): Promise<number> {
  const head = parseHead(call.options.text('head'));
  const entries = await readAudit(call);
  const found = verifyAudit(entries, head);
  if ('kind' in found)
    throw new GweError('PLATFORM_STATE', `cannot trust the audit: entry ${found.number} is ${found.kind}`);
  if (call.options.has('json')) printJson(call, { number: found.number, digest: found.digest });
  else call.io.stdout(`${found.number} entries are whole; the last is ${found.number}:${found.digest}\n`);
  return 0;
}

function parseHead(text: string | undefined): { number: number; digest: string } | undefined {
  if (text === undefined) return undefined;
  const [, number, digest] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (number !== undefined && digest !== undefined) return { number: Number(number), digest };
  throw new GweError(
    'USAGE_BAD_VALUE',
    `cannot use --head '${text}': expected NUMBER:DIGEST, as an earlier run printed it`,
  );
}
