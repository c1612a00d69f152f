import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  APP_NAME_PATTERN,
  matchArtifactName,
  parseArtifactName,
  renderArtifactName,
} from '../../../src/artifact/name.ts';
import { GweError } from '../../../src/base/errors.ts';

test('vector 22: real content ids are split into name and version', () => {
  const vectors = [
    ['gmq.v10_0ca92e7.tar.gz', 'gmq', '10_0ca92e7'],
    ['device-client.v1-4-13.tar.gz', 'device-client', '1-4-13'],
    ['elementtree.v126-20050316.tar.gz', 'elementtree', '126-20050316'],
    ['your_app.v1.2.3.tar.gz', 'your_app', '1.2.3'],
    ['GatewayEngine.v1-1-2.tar.gz', 'GatewayEngine', '1-1-2'],
  ] as const;
  for (const [contentId, name, version] of vectors) {
    assert.deepEqual(parseArtifactName(contentId), { name, version });
    assert.equal(renderArtifactName({ name, version }), contentId);
  }
});

const MALFORMED = [
  'app.tar.gz',
  'app.v.tar.gz',
  'my app.v1.tar.gz',
  '../x.v1.tar.gz',
  'a.b.v1.tar.gz',
  '',
  'app.v1.tar',
  'app.v1.tar.gz ',
  'app.v1.tar.gz\n',
  'app.v1/2.tar.gz',
  'app.v...tar.gz',
  'app]x.v1.tar.gz',
  'app:x.v1.tar.gz',
  'app%x.v1.tar.gz',
  '-app.v1.tar.gz',
  `${'a'.repeat(65)}.v1.tar.gz`,
  `a.v${'1'.repeat(65)}.tar.gz`,
];

for (const contentId of MALFORMED) {
  test(`vector 23: the name ${JSON.stringify(contentId.slice(0, 40))} is refused, and the message quotes it`, () => {
    assert.equal(matchArtifactName(contentId), undefined);
    assert.throws(
      () => parseArtifactName(contentId),
      (error: unknown) =>
        error instanceof GweError &&
        error.code === 'ARTIFACT_NAME' &&
        error.message.includes(JSON.stringify(contentId)) &&
        !error.message.includes('\n'),
    );
  });
}

test('what every object has is no name of an app, and is named in the refusal; what only begins so is one', () => {
  for (const name of [
    'constructor',
    '__proto__',
    'prototype',
    'toString',
    'hasOwnProperty',
    '__lookupGetter__',
  ]) {
    assert.throws(
      () => parseArtifactName(`${name}.v1.tar.gz`),
      /"\w+\.v1\.tar\.gz".*every JavaScript object has/,
    );
    assert.equal(APP_NAME_PATTERN.test(name), false);
  }
  for (const name of ['constructor2', 'prototypes', 'to', 'Constructor']) {
    assert.equal(parseArtifactName(`${name}.v1.tar.gz`).name, name);
    assert.ok(APP_NAME_PATTERN.test(name));
  }
});
