/**
 * Lets the runtime of an executable prepare the code of gwe: `warm-up.mjs TEXT CACHE` runs gwe from TEXT through a
 * check-in with nothing to do, and writes to CACHE what V8 has compiled by then. `warm-up.mjs --check TEXT CACHE` ends
 * with 1 if the runtime, with the options that it is run with, does not take that.
 *
 * It has to be the same check-in wherever and whenever gwe is built, since V8 also notes which `catch` was of use: the
 * platform and supervisord are stand-ins in this process, and of the machine's files there is none.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

const require = createRequire(import.meta.url);

const SCRIPT_NAME = 'gwe.js';
/** The second check-in has nothing to report, the first has. */
const RUNS = [['--version'], ['--once'], ['--once']];

const XML = (value) =>
  `<?xml version='1.0'?><methodResponse><params><param><value>${value}</value></param></params></methodResponse>`;
const SUPERVISORD_SAYS = {
  getAllProcessInfo: '<array><data></data></array>',
  getState:
    '<struct><member><name>statecode</name><value><int>1</int></value></member><member><name>statename</name><value><string>RUNNING</string></value></member></struct>',
};

function readAll(request) {
  return new Promise((resolve) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part) => {
      text += part;
    });
    request.on('end', () => resolve(text));
  });
}

async function listen(address, answer) {
  const server = createServer(async (request, response) => {
    const [headers, body] = answer(await readAll(request));
    response.writeHead(200, { ...headers, connection: 'close' }).end(body);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(address, resolve));
  return server.address();
}

function startPlatform() {
  const headers = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' };
  return listen({ host: '127.0.0.1', port: 0 }, () => [headers, 'engine_fetch=&update_interval=']);
}

function startSupervisord(path) {
  return listen({ path }, (call) => {
    const method = /<methodName>(?:\w+\.)?(\w+)</.exec(call)?.[1] ?? '';
    return [{ 'content-type': 'text/xml' }, XML(SUPERVISORD_SAYS[method] ?? '<string>4.2.5</string>')];
  });
}

async function makeGateway(root) {
  for (const directory of ['etc/gwe', 'run']) mkdirSync(join(root, directory), { recursive: true });
  await startSupervisord(join(root, 'run/supervisor.sock'));
  const { port } = await startPlatform();
  const device = ['[device]', `cik = ${'0'.repeat(40)}`, 'model = p', 'vendor = p', 'uuid = u', "iface = ''"];
  writeFileSync(join(root, 'etc/gwe/Gateway.cfg'), `${device.join('\n')}\n`);
  const engine = ['[engine]', 'debug_level = ERROR', `platform_url = http://127.0.0.1:${port}`];
  writeFileSync(join(root, 'etc/gwe/Engine.config'), `${engine.join('\n')}\n`);
}

/** Of the functions of node:fs that gwe gives paths to: what they do where nothing is. */
const MISSING = {
  existsSync: () => false,
  lstatSync: missingStat,
  statSync: missingStat,
  ...Object.fromEntries(
    ['openSync', 'readdirSync', 'readFileSync', 'readlinkSync', 'realpathSync'].map(missing),
  ),
};

function missing(name) {
  return [
    name,
    (path) => {
      throw Object.assign(new Error(`ENOENT: no such file or directory, ${name} '${path}'`), {
        code: 'ENOENT',
      });
    },
  ];
}

function missingStat(path, options) {
  if (options?.throwIfNoEntry === false) return undefined;
  return missing('stat')[1](path);
}

/** node:fs with nothing outside of `root`. */
function filesBelow(root) {
  const fs = require('node:fs');
  const own = Object.entries(MISSING).map(([name, instead]) => [
    name,
    (path, ...rest) => {
      const isOutside = typeof path === 'string' && !path.startsWith(root);
      return isOutside ? instead(path, ...rest) : fs[name](path, ...rest);
    },
  ]);
  return { ...fs, ...Object.fromEntries(own) };
}

function requireBelow(root) {
  const instead = {
    'node:fs': filesBelow(root),
    'node:os': { ...require('node:os'), networkInterfaces: () => ({}) },
  };
  return (name) => instead[name] ?? require(name);
}

async function warmUp(textPath, cachePath) {
  // What has been compiled stays, whenever the collector comes; then as it was, because a cache is for one set of flags.
  setFlagsFromString('--no-flush-bytecode');
  const root = mkdtempSync(join(tmpdir(), 'gwe-warm-'));
  try {
    await makeGateway(root);
    process.env.GWE_ROOT = root;
    const script = new Script(readFileSync(textPath, 'latin1'), { filename: SCRIPT_NAME });
    for (const args of RUNS) {
      const status = await runOnce(script, requireBelow(root), args);
      if (status !== 0) throw new Error(`gwe ${args.join(' ')} ended with ${status}`);
    }
    setFlagsFromString('--flush-bytecode');
    writeFileSync(cachePath, script.createCachedData());
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** gwe, up to where it would end the process. */
function runOnce(script, requireAll, args) {
  return new Promise((resolve) => {
    process.argv = [process.execPath, 'gwe', ...args];
    process.exit = resolve;
    script.runInThisContext()(requireAll);
  });
}

const end = process.exit;
const [first, ...rest] = process.argv.slice(2);
if (first === '--check') {
  const [textPath, cachePath] = rest;
  const script = new Script(readFileSync(textPath, 'latin1'), {
    filename: SCRIPT_NAME,
    cachedData: readFileSync(cachePath),
  });
  end(script.cachedDataRejected ? 1 : 0);
}
await warmUp(first, rest[0]);
end(0);
