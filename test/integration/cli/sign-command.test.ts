/** `gwe sign-command`, and keys that may command, as a person types them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { commandRefusal, decodeSignedCommand } from '../../../src/artifact/manifest/signed-command.ts';
import { decodeTrustedKey } from '../../../src/store/trust.ts';
import { type CommandLine, createCommandLine } from '../../helpers/command-line.ts';

const COMMAND = '{"install":[{"name":"one.v1.tar.gz"}]}';

function commandLine(t: TestContext): CommandLine {
  const line = createCommandLine();
  t.after(() => line.remove());
  assert.equal(line.gwe('keygen', '--out', 'boss').status, 0);
  return line;
}

/** Why a gateway of product `p1` that trusts the boss would refuse it. */
function refusal({ cwd }: CommandLine, text: string, serial: string): string | undefined {
  const key = decodeTrustedKey(`powers: commands\n${readFileSync(join(cwd, 'boss.pub'), 'utf8')}`, 'boss');
  const decoded = decodeSignedCommand(text);
  return decoded.kind === 'signed'
    ? commandRefusal(decoded.command, { product: 'p1', serial }, [key])
    : decoded.kind;
}

const untilOf = (text: string): number => (JSON.parse(text) as { signed: { until: number } }).signed.until;

test('a command is signed for a product or a gateway, for 20 hours or as long as is said', (t) => {
  const line = commandLine(t);
  const all = line.gwe('sign-command', 'p1', COMMAND, '--key', 'boss.key');
  assert.equal(all.status, 0, all.stderr);
  assert.equal(refusal(line, all.stdout, 'gw-1'), undefined);
  const leftS = untilOf(all.stdout) - Date.now() / 1000;
  assert.ok(leftS > 19 * 3600 - 600 && leftS <= 20 * 3600, `${leftS} s`);
  const one = line.gwe(
    'sign-command',
    'p1',
    COMMAND,
    '--key',
    'boss.key',
    '--serial',
    'gw-1',
    '--until',
    '7d',
  );
  assert.equal(refusal(line, one.stdout, 'gw-1'), undefined);
  assert.match(refusal(line, one.stdout, 'gw-2') ?? '', /signed for this device/);
  assert.ok(untilOf(one.stdout) - untilOf(all.stdout) > 6 * 86_400);
  const at = line.gwe('sign-command', 'p1', COMMAND, '--key', 'boss.key', '--until', '2040-01-02T03:04:05Z');
  assert.equal(untilOf(at.stdout), Date.UTC(2040, 0, 2, 3, 4, 5) / 1000);
});

test('a key elsewhere signs a command as well, and openssl checks it', (t) => {
  const line = commandLine(t);
  const ask = 'cat > asked && openssl pkeyutl -sign -rawin -inkey boss.key -in asked | base64 -w0';
  const signed = line.gwe('sign-command', 'p1', COMMAND, '--key', 'boss.pub', '--sign-cmd', ask);
  assert.equal(signed.status, 0, signed.stderr);
  assert.equal(refusal(line, signed.stdout, 'gw-1'), undefined);
  const digest = execFileSync('sha256sum', { input: canonical(signed.stdout), encoding: 'utf8' }).slice(
    0,
    64,
  );
  line.file('message', `gwe command v1\n${digest}\n`);
  const { sig } = (JSON.parse(signed.stdout) as { signed: { sig: string } }).signed;
  line.file('signature', Buffer.from(sig, 'base64'));
  const verify = [
    'pkeyutl',
    '-verify',
    '-rawin',
    '-pubin',
    '-inkey',
    'boss.pub',
    '-in',
    'message',
    '-sigfile',
    'signature',
  ];
  assert.match(execFileSync('openssl', verify, { cwd: line.cwd, encoding: 'utf8' }), /Verified Successfully/);
});

/** As the document says that it is made: by hand, with another tool. */
function canonical(text: string): string {
  const { by, counter, until } = (JSON.parse(text) as { signed: Record<string, string | number> }).signed;
  return `{"body":${COMMAND},"signed":{"by":"${by}","counter":${counter},"to":{"product":"p1"},"until":${until}}}`;
}

test('what is no command, or has no time to come, is not signed', (t) => {
  const line = commandLine(t);
  for (const [text, ...more] of [
    ['{"instal":[]}', '--key', 'boss.key'],
    ['', '--key', 'boss.key'],
    [COMMAND, '--key', 'boss.key', '--until', '2020-01-01T00:00:00Z'],
    [COMMAND, '--key', 'boss.key', '--until', 'tomorrow'],
    [COMMAND],
  ] as const) {
    const { status, stdout } = line.gwe('sign-command', 'p1', text, ...more);
    assert.deepEqual([status, stdout], [2, ''], `${text} ${more.join(' ')}`);
  }
});

test('a key is added with its powers and limits; one that only commands leaves nothing to be installed', (t) => {
  const line = commandLine(t);
  const added = line.gwe(
    'keys',
    'add',
    'boss.pub',
    '--powers',
    'commands',
    '--products',
    'p1,p2',
    '--apps',
    'one',
  );
  assert.equal(added.status, 0, added.stderr);
  assert.match(added.stdout, /for one, products: p1, p2, power: commands/);
  assert.match(added.stderr, /this gateway trusts 0 keys for artifacts: nothing can be installed/);
  const [key] = line.json('keys', 'list', '--json').keys as { powers: string[]; products: string[] }[];
  assert.deepEqual([key?.powers, key?.products], [['commands'], ['p1', 'p2']]);
  assert.equal(line.gwe('keygen', '--out', 'maker').status, 0);
  const wrong = line.gwe('keys', 'add', 'maker.pub', '--products', 'p1');
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /'products:' of a key that vouches for artifacts/);
});

test('what no gateway would carry out is refused before it is signed', (t) => {
  const line = commandLine(t);
  const cases: [words: RegExp, ...args: string[]][] = [
    [/one\.zip/, 'p1', '{"install":[{"name":"one.zip"}]}'],
    [/argument PRODUCT is empty/, '', COMMAND],
    [/--serial: it is empty/, 'p1', COMMAND, '--serial', ''],
    [/--sign-cmd alone: --key FILE is missing/, 'p1', COMMAND, '--sign-cmd', 'true'],
  ];
  for (const [words, ...args] of cases) {
    const key = args.includes('--sign-cmd') ? [] : ['--key', 'boss.key'];
    const { status, stdout, stderr } = line.gwe('sign-command', ...args, ...key);
    assert.deepEqual([status, stdout], [2, ''], stderr);
    assert.match(stderr, words);
  }
});
