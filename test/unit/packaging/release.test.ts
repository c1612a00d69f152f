import assert from 'node:assert/strict';
import { test } from 'node:test';
import { releaseOf } from '../../../src/packaging/project.mjs';

test('the release of gwe grows with its version, number by number', () => {
  const versions = ['0.9.9', '1.0.0', '2.0.0', '2.0.1', '2.0.10', '2.1.0', '2.10.0', '10.0.0'];
  const releases = versions.map((version) => releaseOf(version));
  assert.deepEqual(
    releases,
    [...releases].sort((a, b) => a - b),
  );
  assert.equal(new Set(releases).size, versions.length);
  assert.ok(releases.every((release) => Number.isSafeInteger(release)));
});

test('a version other than three numbers is refused', () => {
  for (const version of ['dev', '2.0', '2.0.0.1', ''])
    assert.throws(() => releaseOf(version), /expected MAJOR/);
});
