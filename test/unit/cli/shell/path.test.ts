import assert from 'node:assert/strict';
import { test } from 'node:test';
import { absolutePath } from '../../../../src/cli/shell/path.ts';

const gone = {
  cwd(): string {
    throw Object.assign(new Error('ENOENT: process.cwd failed'), { code: 'ENOENT' });
  },
};

test('the working directory is asked for by a relative path alone', () => {
  assert.equal(absolutePath(gone, '/a/../b'), '/b');
  assert.equal(absolutePath({ cwd: () => '/home' }, 'x/y'), '/home/x/y');
  assert.equal(absolutePath({ cwd: () => '/home' }, '.'), '/home');
});

test('a relative path in a directory that is gone is refused by name', () => {
  assert.throws(() => absolutePath(gone, 'app.v1.tar.gz'), {
    code: 'USAGE_BAD_VALUE',
    message: /'app\.v1\.tar\.gz'.*working directory.*removed.*expected an absolute path/,
  });
});
