import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainEnvironment } from '../../../src/base/child-environment.ts';

test('of the environment only what every program may know is for another user', () => {
  const plain = { PATH: '/bin', LANG: 'C', LC_ALL: 'C', TZ: 'UTC', https_proxy: 'http://p', NO_PROXY: 'a' };
  const others = {
    MY_TOKEN: 'secret',
    HOME: '/root',
    SUPERVISOR_SERVER_URL: 'unix:///s',
    LCX: '1',
    PATHS: '1',
  };
  assert.deepEqual(plainEnvironment({ ...plain, ...others }), plain);
});
