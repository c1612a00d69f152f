import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';

/** A private CA with a server and a client certificate, made afresh for a test. */

export interface Certificates {
  caFile: string;
  serverCert: Buffer;
  serverKey: Buffer;
  clientCertFile: string;
  clientKeyFile: string;
}

/** Writes PEM files to `directory`; the server's names are 127.0.0.1, localhost and `names`. */
export function makeCertificates(directory: string, names: readonly string[] = []): Certificates {
  const at = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  const request = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...request,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    '/CN=Test CA',
  );
  const sign = (name: string, subject: string, extension: string): void => {
    fs.writeFileSync(at(`${name}.ext`), `${extension}\n`);
    openssl('req', ...request, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject);
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      `${name}.ext`,
      '-out',
      `${name}.pem`,
    );
  };
  const alternatives = [
    'IP:127.0.0.1',
    'DNS:localhost',
    ...names.map((name) => `${isIP(name) === 0 ? 'DNS' : 'IP'}:${name}`),
  ].join(',');
  sign('server', '/CN=platform', `subjectAltName=${alternatives}`);
  sign('client', '/CN=device-1', 'extendedKeyUsage=clientAuth');
  return {
    caFile: at('ca.pem'),
    serverCert: fs.readFileSync(at('server.pem')),
    serverKey: fs.readFileSync(at('server.key')),
    clientCertFile: at('client.pem'),
    clientKeyFile: at('client.key'),
  };
}
