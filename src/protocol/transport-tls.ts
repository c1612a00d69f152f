/** The certificates and the manner of TLS that the platform is spoken to with. */
import * as tls from 'node:tls';
import { GweError } from '../base/errors.ts';
import { readFileBounded } from '../base/fs.ts';

const MAX_PEM_BYTES = 1024 * 1024;

export interface TlsFiles {
  /** PEM; these CAs are trusted besides the built-in ones. */
  caFile?: string;
  clientCertFile?: string;
  /** When left out, the certificate's file holds the key as well. */
  clientKeyFile?: string;
}

/** What TLS is spoken with. Throws CONFIG_INVALID for files that cannot be used. */
export function loadSecureContext(settings: TlsFiles): tls.SecureContext {
  const { caFile, clientCertFile } = settings;
  // One file may hold both, as many tools make it.
  const clientKeyFile = settings.clientKeyFile ?? clientCertFile;
  if (clientCertFile === undefined && clientKeyFile !== undefined) {
    throw new GweError(
      'CONFIG_INVALID',
      'cannot use the client key: there is no client certificate, expected both (--set-client-cert)',
    );
  }
  const ca = readPem(caFile, 'CA file');
  const cert = readPem(clientCertFile, 'client certificate');
  const key = readPem(clientKeyFile, 'client key');
  if (ca?.includes('-----BEGIN CERTIFICATE-----') === false) {
    throw new GweError('CONFIG_INVALID', `cannot use CA file '${caFile}': no PEM certificate in it`);
  }
  if (key !== undefined && !/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key.toString('latin1'))) {
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use client key '${clientKeyFile}': no PEM private key in it; set the file that holds it (--set-client-key)`,
    );
  }
  try {
    const secure = tls.createSecureContext({
      minVersion: 'TLSv1.2',
      // A key share of 32 bytes; the runtime's own first choice costs more than 1 KB each way.
      ecdhCurve: 'X25519:P-256:P-384',
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    });
    if (ca !== undefined) addCertificates(secure, ca);
    return secure;
  } catch (error) {
    const given = [caFile, clientCertFile, clientKeyFile].filter((file) => file !== undefined);
    throw new GweError(
      'CONFIG_INVALID',
      `cannot use the TLS files '${[...new Set(given)].join("', '")}': not valid PEM, or key and certificate do not belong together`,
      { cause: error },
    );
  }
}

function readPem(path: string | undefined, what: string): Buffer | undefined {
  if (path === undefined) return undefined;
  const pem = readFileBounded(path, MAX_PEM_BYTES);
  if (pem === undefined) throw new GweError('CONFIG_INVALID', `cannot use ${what} '${path}': no such file`);
  return pem;
}

/**
 * Adds to the built-in ones. The option `ca` would put its own in their place, and to name them all again there has each
 * of them parsed anew, at three times the cost of all the rest of a context.
 */
function addCertificates(secure: tls.SecureContext, pem: Buffer): void {
  const { context } = secure as { context: { addCACert(pem: Buffer): void } };
  context.addCACert(pem);
}
