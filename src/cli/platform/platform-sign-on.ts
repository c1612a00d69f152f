/** Options of `gwe platform serve` about logins at a provider of identities. */
import { GweError } from '../../base/errors.ts';
import { createSignOn, type SignOn } from '../../fleet-api/people/sign-on.ts';
import type { CommandCall, OptionSpec } from '../shell/command.ts';
import { isLoopback, readRequired } from './platform-options.ts';

export const SIGN_ON_OPTIONS: readonly OptionSpec[] = [
  { name: 'public-url', value: 'URL', help: 'where people reach this platform; for --oidc-issuer' },
  {
    name: 'oidc-issuer',
    value: 'URL',
    help: 'a provider of identities (OpenID Connect) at which operators log in; it returns to /gwe/v2/sign-on/callback',
  },
  { name: 'oidc-client-id', value: 'ID', help: 'the name of this platform there' },
  { name: 'oidc-client-secret-file', value: 'FILE', help: 'file with its secret there' },
  { name: 'oidc-claim', value: 'NAME', help: 'what names an operator', default: 'email, verified' },
  { name: 'oidc-ca-file', value: 'FILE', help: 'PEM of a private certificate authority of the provider' },
];

/** `undefined` without `--oidc-issuer`. Throws USAGE_* for options that do not go together. */
export function signOnOf(call: CommandCall): SignOn | undefined {
  const issuer = call.options.text('oidc-issuer');
  if (issuer === undefined) return undefined;
  const [clientId, publicUrl] = [call.options.text('oidc-client-id'), call.options.text('public-url')];
  if (clientId === undefined || publicUrl === undefined)
    throw new GweError(
      'USAGE_MISSING',
      '--oidc-issuer needs --oidc-client-id and --public-url: expected all three',
    );
  const file = call.options.text('oidc-client-secret-file');
  const caFile = call.options.text('oidc-ca-file');
  return createSignOn({
    issuer: checkedUrl('oidc-issuer', issuer).replace(/\/$/, ''),
    clientId,
    clientSecret: file === undefined ? undefined : readRequired(file, 'client secret').trim(),
    publicUrl: new URL(checkedUrl('public-url', publicUrl)).origin,
    claim: call.options.text('oidc-claim'),
    ca: caFile === undefined ? undefined : readRequired(caFile, 'certificate authority'),
  });
}

function checkedUrl(option: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  if (url !== undefined && isSafe && url.username === '') return text;
  throw new GweError('USAGE_BAD_VALUE', `cannot use --${option} '${text}': expected https://HOST[:PORT]`);
}
