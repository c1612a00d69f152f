/** A platform in a process of its own, to be killed. Arguments: directory, token, ms for headers, further options in JSON. Prints its URL. */
import { createSystemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import { createPlatformServer, type PlatformOptions } from '../../src/platform/server/server.ts';

const [directory = '', adminToken = '', headersTimeoutMs = '30000', more = '{}'] = process.argv.slice(2);
const clock = createSystemClock();
const log = createLogger({
  level: 'error',
  format: 'text',
  clock,
  write: (line) => process.stderr.write(line),
});
const options: Partial<PlatformOptions> = JSON.parse(more);
const server = await createPlatformServer({
  directory,
  host: '127.0.0.1',
  port: 0,
  ...options,
  adminToken,
  clock,
  log,
  headersTimeoutMs: Number(headersTimeoutMs),
});
process.stdout.write(`${server.url}\n`);
