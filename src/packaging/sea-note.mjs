/**
 * The note of a finished executable that holds the bundle. pkg gives it its exact length, which stands in the program
 * headers, so that a line more in the bundle would change them too, and a self-update would fetch what is around them.
 * Here it is as long as the segment it lies in, whose length is of whole pages; the runtime reads no further than its blob.
 */
import { PT_LOAD, PT_NOTE, readElf, writeElf } from './elf.mjs';

const NAME = 'NODE_SEA_BLOB\0';
const HEADER_BYTES = 12;

/** Throws where the note is not the last thing in its segment. */
export function withEvenNote(executable) {
  const output = Buffer.from(executable);
  const elf = readElf(output);
  const { segment, at } = findNote(output, elf);
  const load = elf.programs.find(
    ({ type, offset, filesz }) => type === PT_LOAD && offset <= at && at < offset + filesz,
  );
  const end = load === undefined ? 0 : load.offset + load.filesz;
  const noteEnd = segment.offset + segment.filesz;
  if (end < noteEnd || output.subarray(noteEnd, end).some((byte) => byte !== 0))
    throw new Error('cannot lengthen the note of the bundle: its segment holds something behind it');
  output.writeUInt32LE(end - contentStart(output, at), at + 4);
  const section = elf.sections.find(({ offset, size }) => offset <= at && at < offset + size);
  if (section !== undefined) section.size = end - section.offset;
  segment.filesz = end - segment.offset;
  segment.memsz = segment.filesz;
  writeElf(output, elf);
  return output;
}

/** Its place in the file, and the program header of the notes that it is the last of. */
function findNote(bytes, { programs }) {
  for (const segment of programs.filter(({ type }) => type === PT_NOTE)) {
    const end = segment.offset + segment.filesz;
    for (let at = segment.offset; at + HEADER_BYTES <= end; ) {
      const next = roundUp(contentStart(bytes, at) + bytes.readUInt32LE(at + 4));
      const name = bytes.toString('latin1', at + HEADER_BYTES, at + HEADER_BYTES + bytes.readUInt32LE(at));
      if (name === NAME && next >= end) return { segment, at };
      at = next;
    }
  }
  throw new Error(`cannot find the note of the bundle: no last note is called ${JSON.stringify(NAME)}`);
}

function contentStart(bytes, at) {
  return at + HEADER_BYTES + roundUp(bytes.readUInt32LE(at));
}

function roundUp(value) {
  return Math.ceil(value / 4) * 4;
}
