import { relative } from 'node:path';

/** A node:test reporter that writes nothing but the final counts and what failed, as JSON. */
export default async function* count(events) {
  const failures = [];
  for await (const event of events) {
    if (event.type === 'test:fail') {
      const name = failedTest(event.data);
      if (name !== undefined) failures.push(name);
    }
    // A summary of one file names it; the one of the whole run does not.
    if (event.type !== 'test:summary' || event.data.file !== undefined) continue;
    const { passed, failed, cancelled, skipped } = event.data.counts;
    yield JSON.stringify({ passed, failed: failed + cancelled, skipped, failures });
  }
}

/** `FILE: NAME: WHY`; a suite that failed only because of a test in it is no failure of its own. */
function failedTest({ file, name, details }) {
  if (details?.error?.failureType === 'subtestsFailed') return undefined;
  return `${relative(process.cwd(), file ?? '')}: ${name}: ${reason(details?.error)}`;
}

/** Whoever reads only the end of a long log still sees why. */
function reason(error) {
  const text = error?.cause?.stack ?? error?.cause ?? error?.message ?? 'no reason was given';
  return String(text).slice(0, 1000).replaceAll('\n', '\n    ');
}
