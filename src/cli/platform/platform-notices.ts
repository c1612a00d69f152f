/** Options of `gwe platform serve` about notices: mail, and where webhooks may go. */
import { X509Certificate } from 'node:crypto';
import { GweError } from '../../base/errors.ts';
import type { NotifierOptions } from '../../fleet-api/notices/notifier.ts';
import type { CommandCall, OptionSpec } from '../shell/command.ts';
import { readRequired } from './platform-options.ts';

export const NOTICE_OPTIONS: readonly OptionSpec[] = [
  { name: 'smtp-url', value: 'URL', help: 'smtp://HOST:PORT or smtps://USER@HOST:PORT for mail to people' },
  { name: 'smtp-password-file', value: 'FILE', help: 'file with the password of that user' },
  { name: 'mail-from', value: 'ADDRESS', help: 'whom mail comes from' },
  { name: 'allow-local-webhooks', help: 'let webhooks go to this machine and its link too' },
];

/** Throws USAGE_* for options that do not go together. */
export function noticesOf(call: CommandCall, tls: { cert: string } | undefined): NotifierOptions {
  const url = call.options.text('smtp-url');
  const allowsLocal = call.options.has('allow-local-webhooks');
  const ends = tls === undefined ? {} : { certificateEndsAt: endOf(tls.cert) };
  if (url === undefined) return { allowsLocal, ...ends };
  const from = call.options.text('mail-from');
  if (from === undefined)
    throw new GweError('USAGE_MISSING', '--smtp-url and --mail-from go together: expected both');
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (
    parsed === undefined ||
    !/^smtps?:$/.test(parsed.protocol) ||
    parsed.hostname === '' ||
    parsed.password !== ''
  )
    throw new GweError(
      'USAGE_BAD_VALUE',
      'cannot use --smtp-url: expected smtp://HOST:PORT or smtps://USER@HOST:PORT, the password in --smtp-password-file',
    );
  const file = call.options.text('smtp-password-file');
  const password = file === undefined ? undefined : readRequired(file, 'password').trim();
  return { allowsLocal, ...ends, mail: { url, password, from } };
}

function endOf(certificate: string): number {
  return Math.floor(Date.parse(new X509Certificate(certificate).validTo) / 1000);
}
