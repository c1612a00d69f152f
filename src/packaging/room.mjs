/**
 * Room between the statements of the bundle. What V8 keeps of a script says at which position each function is: without
 * room, a longer line would change what it says of every function behind it, and a self-update would fetch all of that.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
/** The one that pkg reads scripts with. */
const { parse } = createRequire(require.resolve('pkg/lib-es5/sea.js'))('@babel/parser');

/** The next part of the script begins at a multiple of this: a change that is smaller moves what follows seldom. */
const STEP_BYTES = 2048;

/** About so many bytes lie between the starts of two parts; each costs half a step of room. */
const MEAN_BYTES = 64 * 1024;

/** `text` with spaces between some of its statements and behind the last one. Which ones, only the statements decide. */
export function withRoom(text) {
  const { body } = parse(text, { sourceType: 'script' }).program;
  const starts = body.filter((each) => startsPart(each, text)).map(({ start }) => start);
  const ends = [...starts, text.length];
  let output = '';
  for (const [index, end] of ends.entries()) {
    output += text.slice(index === 0 ? 0 : ends[index - 1], end);
    output += ' '.repeat(-Buffer.byteLength(output) & (STEP_BYTES - 1));
  }
  return output;
}

/** More often before a long statement, so that parts are of like size whatever the length of their statements. */
function startsPart({ start, end }, text) {
  const share = 2 ** Math.round(Math.log2(end - start)) / MEAN_BYTES;
  const hash = createHash('sha256')
    .update(text.slice(start, start + 40))
    .digest();
  return hash.readUInt32LE(0) < share * 2 ** 32;
}
