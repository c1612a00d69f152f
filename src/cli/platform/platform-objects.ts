/** The S3 store that content is in, from an option. */
import { statSync } from 'node:fs';
import { GweError } from '../../base/errors.ts';
import type { S3Target } from '../../platform/storage/objects/s3-client.ts';
import type { CommandCall, OptionSpec } from '../shell/command.ts';
import { readRequired } from './platform-options.ts';

export const OBJECTS_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'objects',
    value: 'URL',
    help: 's3://BUCKET[/PREFIX]?endpoint=URL[&region=R] for content, with --database',
  },
  {
    name: 'objects-key-file',
    value: 'FILE',
    help: 'lines aws_access_key_id = ... and aws_secret_access_key = ..., or [default] with them [env: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY]',
  },
  { name: 'objects-ca-file', value: 'FILE', help: "PEM of a private certificate authority of the store's" },
];

const EXPECTED = 's3://BUCKET[/PREFIX]?endpoint=https://HOST[&region=REGION]';

/** `undefined` without the option. Throws USAGE_* or CONFIG_INVALID, naming the option to give. */
export function objectsOf(call: CommandCall, databaseOption = 'database'): S3Target | undefined {
  const text = call.options.text('objects');
  if (text === undefined) return undefined;
  if (call.options.text(databaseOption) === undefined)
    throw new GweError('USAGE_MISSING', `--objects goes with --${databaseOption}: expected both`);
  const caFile = call.options.text('objects-ca-file');
  return {
    ...parsePlace(text),
    ...readKeys(call),
    ...(caFile === undefined ? {} : { ca: readRequired(caFile, 'certificate authority') }),
  };
}

function parsePlace(text: string): Pick<S3Target, 'bucket' | 'prefix' | 'endpoint' | 'region'> {
  const match = /^s3:\/\/([A-Za-z0-9][\w.-]{1,254})(?:\/([\w.-]+(?:\/[\w.-]+)*)?\/?)?(?:\?(.*))?$/.exec(text);
  const [, bucket, path, query = ''] = match ?? [];
  const settings = new URLSearchParams(query);
  const known = ['endpoint', 'region'];
  const isKnown = [...settings.keys()].every((name) => known.includes(name));
  if (bucket === undefined || !isKnown) throw wrong();
  const region = settings.get('region') ?? 'us-east-1';
  const endpoint = settings.get('endpoint') ?? `https://s3.${region}.amazonaws.com`;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.username !== '')
    throw wrong();
  return { bucket, prefix: path === undefined ? '' : `${path}/`, endpoint: url.origin, region };
}

/** The value is not shown: it may contain a key. */
function wrong(): GweError {
  return new GweError('USAGE_BAD_VALUE', `cannot use --objects: expected ${EXPECTED}`);
}

function readKeys(call: CommandCall): Pick<S3Target, 'keyId' | 'secretKey' | 'sessionToken'> {
  const path = call.options.text('objects-key-file');
  const settings = path === undefined ? call.io.env : readKeyFile(path);
  const of = (name: string): string | undefined => settings[name] ?? settings[name.toLowerCase()];
  const [keyId, secretKey] = [of('AWS_ACCESS_KEY_ID'), of('AWS_SECRET_ACCESS_KEY')];
  if (keyId === undefined || keyId === '' || secretKey === undefined || secretKey === '')
    throw new GweError(
      'USAGE_MISSING',
      path === undefined
        ? 'no key of the object store: expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --objects-key-file'
        : `cannot use key file '${path}': expected lines aws_access_key_id = ... and aws_secret_access_key = ..., before any section or in [default]`,
    );
  return { keyId, secretKey, sessionToken: of('AWS_SESSION_TOKEN') };
}

/** Reads lines of `name = value`, in a file with sections those of `[default]`, as other programs do. */
function readKeyFile(path: string): Readonly<Record<string, string | undefined>> {
  const text = readRequired(path, 'key file');
  const mode = statSync(path).mode;
  if ((mode & 0o077) !== 0)
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use key file '${path}': found mode ${(mode & 0o777).toString(8)}, expected 600, since others could ` +
        `read the keys; run chmod 600 '${path}' and start again`,
    );
  return Object.fromEntries(
    [...ownLines(text).matchAll(/^[ \t]*(?:export[ \t]+)?(aws_\w+)[ \t]*=[ \t]*(\S+)[ \t]*$/gim)].map(
      ([, name = '', value = '']) => [name.toLowerCase(), value.replace(/^(["'])(.*)\1$/, '$2')],
    ),
  );
}

/** Without the sections of other names: keys of theirs would be those of another account. */
function ownLines(text: string): string {
  const sections = text.replace(/^\ufeff/, '').split(/^[ \t]*(?=\[)/m);
  return sections.filter((section) => /^(?!\[)|^\[[ \t]*default[ \t]*\]/.test(section)).join('');
}
