/** A certificate file is judged by this machine's clock, and a file that is not a certificate is reported as such. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkCertificates } from '../../../../src/agent/operator/certificates.ts';
import { agentParts } from '../../../helpers/agent-parts.ts';
import { makeCertificates } from '../../../helpers/certificates.ts';

const directory = mkdtempSync(join(tmpdir(), 'gwe-certificates-'));
after(() => rmSync(directory, { recursive: true }));
const DAY_MS = 24 * 3600 * 1000;
const { caFile, clientCertFile } = makeCertificates(directory);

test('each file that is configured has its state, valid within its dates alone', (t) => {
  const { context, clock } = agentParts(t, { caFile, clientCertFile });
  const states = (nowMs: number) => {
    clock.nowMs = nowMs;
    return checkCertificates(context).map(({ setting, state }) => `${setting} ${state}`);
  };
  const nowMs = Date.now();
  assert.deepEqual(states(nowMs), ['ca_file valid', 'client_cert valid']);
  assert.deepEqual(states(nowMs + 3 * DAY_MS), ['ca_file expired', 'client_cert expired']);
  assert.deepEqual(states(nowMs - DAY_MS), ['ca_file not-yet-valid', 'client_cert not-yet-valid']);
});

test('nothing is said where none is configured', (t) => {
  const { context } = agentParts(t, { caFile: '', clientCertFile: '' });
  assert.deepEqual(checkCertificates(context), []);
});

test('a file that is missing, empty or no certificate is unreadable, and has no dates', (t) => {
  const broken = join(directory, 'broken.pem');
  const text = readFileSync(caFile, 'latin1');
  for (const content of [undefined, '', 'hello', text.replace(/\n[A-Za-z0-9+/]{10}/, '\n!!!!!!!!!!')]) {
    if (content !== undefined) writeFileSync(broken, content);
    const { context } = agentParts(t, { caFile: broken, clientCertFile: '' });
    assert.deepEqual(checkCertificates(context), [{ setting: 'ca_file', file: broken, state: 'unreadable' }]);
  }
});

test('a file of several is valid no longer than the first of them to end', (t) => {
  const both = join(directory, 'both.pem');
  writeFileSync(both, readFileSync(caFile, 'latin1') + readFileSync(clientCertFile, 'latin1'));
  const ends = [caFile, clientCertFile].map((file) => {
    const { context } = agentParts(t, { caFile: file, clientCertFile: '' });
    return checkCertificates(context)[0]?.validToMs ?? Number.NaN;
  });
  const { context } = agentParts(t, { caFile: both, clientCertFile: '' });
  assert.equal(checkCertificates(context)[0]?.validToMs, Math.min(...ends));
});
