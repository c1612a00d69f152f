import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directoryExists, readProcessEnvironment, userExists } from '../../../src/supervisor/users.ts';

test('a user is known by name or number', () => {
  for (const user of ['root', '0']) assert.equal(userExists(user), true, user);
  for (const user of ['', 'no such user', '4294967295', 'root:x'])
    assert.equal(userExists(user), false, user);
});

test('a directory exists, a file and a path that cannot be looked at do not', () => {
  assert.equal(directoryExists('/etc'), true);
  for (const path of ['/etc/passwd', '/etc/passwd/x', '/no/such', `/${'x'.repeat(5000)}`, '/a\0b']) {
    assert.equal(directoryExists(path), false, path.slice(0, 20));
  }
});

test('the environment of a process is read by name, that of no process is unknown', () => {
  assert.equal(readProcessEnvironment(process.pid)?.PATH, process.env.PATH);
  assert.equal(readProcessEnvironment(2 ** 30), undefined);
});
