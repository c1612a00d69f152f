/** Work whose result is still there is not done again. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { CACHE, ensureDirectory } from './project.mjs';

export function digest(data) {
  return createHash('sha256').update(data).digest('hex');
}

export function fileDigest(path) {
  return digest(fs.readFileSync(path));
}

/**
 * Runs `make`, which writes `output`, unless it was made from the same `inputs` (any text that changes when they do)
 * and nobody has touched it since. Returns whether it was made.
 */
export async function remembered(name, inputs, output, make) {
  const record = join(ensureDirectory(join(CACHE, 'build')), `${name}.json`);
  if (isCurrent(record, inputs, output)) return false;
  await make();
  fs.writeFileSync(record, JSON.stringify({ inputs, output: fileDigest(output) }));
  return true;
}

function isCurrent(record, inputs, output) {
  if (!fs.existsSync(record) || !fs.existsSync(output)) return false;
  const last = JSON.parse(fs.readFileSync(record, 'utf8'));
  return last.inputs === inputs && last.output === fileDigest(output);
}
