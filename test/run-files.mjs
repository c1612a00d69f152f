/**
 * `run-files.mjs COUNTS AT-A-TIME FILE...`: node:test's command line, but the files begin in the order in which they are
 * given. The command line sorts them by name, so that a long one that comes last is waited for alone.
 */
import { createWriteStream } from 'node:fs';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import count from './count.mjs';

const [counts = '', atATime, ...files] = process.argv.slice(2);
const events = run({ files, concurrency: Number(atATime) });
events.on('test:fail', () => {
  process.exitCode = 1;
});
events.compose(new spec()).pipe(process.stdout);
events.compose(count).pipe(createWriteStream(counts));
