/** Sends one notice to one target: by a signed request, or by mail. */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { GweError } from '../../base/errors.ts';
import type { Sealer } from '../../fleet/people/seal.ts';
import { lookupOutside, refuseLocalHost } from './addresses.ts';
import { type Notice, signBody, type Target } from './notice.ts';
import { openTargetSecret } from './target-secrets.ts';

interface Mail {
  /** `smtp://HOST:PORT`, or `smtps://HOST:PORT`; with the name of the user in it, if there is one. */
  readonly url: string;
  readonly password?: string | undefined;
  readonly from: string;
  readonly ca?: string | undefined;
}

export interface Ways {
  readonly mail?: Mail | undefined;
  /** Webhooks may go to this machine and to its own link. */
  readonly allowsLocal: boolean;
  readonly ca?: string | undefined;
  /** Opens the secrets of webhooks. */
  readonly sealer?: Sealer | undefined;
}

/** For the whole notice: a target that is too slow is tried again later. */
const TIMEOUT_MS = 10_000;

/** Throws if the target did not accept it. */
export async function sendNotice(ways: Ways, target: Target, notice: Notice): Promise<void> {
  if (target.url.startsWith('mailto:')) await sendMail(ways, target, notice);
  else await callWebhook(ways, target, notice);
}

async function callWebhook({ allowsLocal, ca, sealer }: Ways, target: Target, notice: Notice): Promise<void> {
  const url = new URL(target.url);
  if (!allowsLocal) refuseLocalHost(url.hostname);
  const { key, ...rest } = notice;
  const body = JSON.stringify({ version: 1, id: key, ...rest });
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'user-agent': 'gwe',
    'x-gwe-signature': signBody(openTargetSecret(sealer, target), body, Math.floor(notice.at)),
  };
  const options = {
    method: 'POST',
    headers,
    // A connection of its own: the address of a reused one was checked for another name.
    agent: false,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(allowsLocal ? {} : { lookup: lookupOutside }),
    ...(ca === undefined ? {} : { ca }),
  };
  const status = await new Promise<number>((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const sent = send(url, options, (response) => {
      // The body of the answer does not matter, and may be endless.
      response.destroy();
      resolve(response.statusCode ?? 0);
    });
    sent.once('error', reject);
    sent.end(body);
  });
  if (status < 200 || status > 299)
    throw new GweError(
      'PROTOCOL_REFUSED',
      `cannot send to '${url.host}': it answered ${status}, expected 2xx`,
    );
}

async function sendMail({ mail }: Ways, target: Target, { title, text, product }: Notice): Promise<void> {
  if (mail === undefined)
    throw new GweError(
      'CONFIG_INVALID',
      'cannot send mail: the platform has no server for it, expected --smtp-url',
    );
  const { createTransport } = (await import('nodemailer')).default;
  const url = new URL(mail.url);
  const isSecure = url.protocol === 'smtps:';
  const user = decodeURIComponent(url.username);
  const transport = createTransport({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (isSecure ? 465 : 587) : Number(url.port),
    secure: isSecure,
    ...(user === '' ? {} : { auth: { user, pass: mail.password ?? '' } }),
    // A password is never sent over a line that others can read.
    requireTLS: user !== '',
    ...(mail.ca === undefined ? {} : { tls: { ca: mail.ca } }),
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  try {
    const to = target.url.slice('mailto:'.length);
    const subject = `[gwe ${product === '*' ? 'platform' : product}] ${title}`;
    await transport.sendMail({ from: mail.from, to, subject, text: `${text}\n` });
  } finally {
    transport.close();
  }
}
