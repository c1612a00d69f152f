/** Whether the configured certificates are within their dates by this machine's clock. */
import { X509Certificate } from 'node:crypto';
import { readFileBounded } from '../../base/fs.ts';
import type { AgentContext } from '../run/context.ts';

export interface CertificateState {
  /** The key of Engine.config that names the file. */
  setting: 'ca_file' | 'client_cert';
  file: string;
  state: 'valid' | 'expired' | 'not-yet-valid' | 'unreadable';
  /** When all certificates of the file are valid: the latest start and the earliest end. Absent if unreadable. */
  validFromMs?: number;
  validToMs?: number;
}

const LARGEST_PEM_BYTES = 1024 * 1024;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** One for each certificate file that is configured. */
export function checkCertificates(context: Pick<AgentContext, 'clock' | 'settings'>): CertificateState[] {
  const { caFile, clientCertFile } = context.settings();
  const nowMs = context.clock.wallMs();
  return [
    ...(caFile === '' ? [] : [checkFile('ca_file', caFile, nowMs)]),
    ...(clientCertFile === '' ? [] : [checkFile('client_cert', clientCertFile, nowMs)]),
  ];
}

function checkFile(setting: CertificateState['setting'], file: string, nowMs: number): CertificateState {
  const dates = readDates(file);
  if (dates === undefined) return { setting, file, state: 'unreadable' };
  const { validFromMs, validToMs } = dates;
  const state = nowMs < validFromMs ? 'not-yet-valid' : nowMs > validToMs ? 'expired' : 'valid';
  return { setting, file, state, validFromMs, validToMs };
}

function readDates(file: string): { validFromMs: number; validToMs: number } | undefined {
  try {
    const text = readFileBounded(file, LARGEST_PEM_BYTES)?.toString('latin1') ?? '';
    const found = [...text.matchAll(PEM)].map(([pem]) => new X509Certificate(pem));
    if (found.length === 0) return undefined;
    return {
      validFromMs: Math.max(...found.map((each) => Date.parse(each.validFrom))),
      validToMs: Math.min(...found.map((each) => Date.parse(each.validTo))),
    };
  } catch {
    return undefined;
  }
}
