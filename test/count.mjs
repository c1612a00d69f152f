/** A node:test reporter that writes nothing but the final counts, as JSON. */
export default async function* count(events) {
  for await (const event of events) {
    // A summary of one file names it; the one of the whole run does not.
    if (event.type !== 'test:summary' || event.data.file !== undefined) continue;
    const { passed, failed, cancelled, skipped } = event.data.counts;
    yield JSON.stringify({ passed, failed: failed + cancelled, skipped });
  }
}
