import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryVariables } from '../../../src/base/scrub.ts';

test('a platform is started with what keeps a TLS connection small in memory, and nothing else is', () => {
  const added = memoryVariables({ HOME: '/root' }, ['platform', 'serve', '--listen', '0.0.0.0:443']);
  assert.deepEqual(added, { MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_TOP_PAD_: '0' });
  assert.deepEqual(memoryVariables(added, ['platform', 'serve']), {}, 'started so, it goes on');
  for (const args of [[], ['--once'], ['platform', 'device', 'list'], ['serve']])
    assert.deepEqual(memoryVariables({}, args), {});
});

test('who has set how memory is asked for keeps it', () => {
  for (const name of ['MALLOC_ARENA_MAX', 'MALLOC_MMAP_THRESHOLD_', 'GLIBC_TUNABLES'])
    assert.deepEqual(memoryVariables({ [name]: '1' }, ['platform', 'serve']), {});
});
