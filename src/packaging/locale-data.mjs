/**
 * Takes out of a finished executable what gwe never reads: the locale data, a third of it, whose package of all locales is
 * replaced by a small one; and padding, where a linker aligned a segment to pages of 2 MiB, or the bundle's note was put
 * far behind (only `--use-largepages`, which gwe does not take, would read it).
 */
import { cutOut } from './cut-out.mjs';
import { findSymbol, PT_LOAD, readElf, SHT_NOBITS } from './elf.mjs';
import { isSpare, readPackage, writePackage } from './icu-package.mjs';

/** `runtime` is the unstripped one that `executable` was made from. Throws where either is not as expected. */
export function withoutSpareData(executable, runtime) {
  const elf = readElf(executable);
  const { address, size } = findSymbol(runtime, /^icudt\d+_dat$/);
  const segment = elf.programs.find(
    ({ type, vaddr, filesz }) => type === PT_LOAD && vaddr <= address && address + size <= vaddr + filesz,
  );
  if (segment === undefined) throw new Error('cannot find the locale data: no segment holds its address');
  const start = segment.offset + address - segment.vaddr;
  const small = smallPackage(executable.subarray(start, start + size));
  if (small.length >= size)
    throw new Error('cannot cut the locale data: the small package takes as much room');
  const output = Buffer.from(executable);
  small.copy(output, start);
  return cutOut(output, [...paddings(executable, elf), { start: start + small.length, end: start + size }]);
}

function smallPackage(bytes) {
  const { header, items } = readPackage(bytes);
  return writePackage({ header, items: items.filter(({ name }) => !isSpare(name)) });
}

/** The zeros before each segment that belong to nothing. */
function paddings(bytes, elf) {
  const starts = elf.programs.filter(({ type }) => type === PT_LOAD).map(({ offset }) => offset);
  return starts.map((end) => ({ start: endOfContents(bytes, elf, end), end }));
}

/** Behind the last byte before `limit` that is not zero, belongs to a section or a table, or stands for memory. */
function endOfContents(bytes, { file, programs, sections }, limit) {
  let end = limit;
  while (end > 0 && bytes[end - 1] === 0) end--;
  const loads = programs.filter(({ type, memsz, filesz }) => type === PT_LOAD && memsz > filesz);
  const taken = [
    { offset: file.phoff, size: programs.length * file.phentsize },
    { offset: file.shoff, size: sections.length * file.shentsize },
    ...sections.filter(({ type }) => type !== SHT_NOBITS),
    ...loads.map(({ offset, filesz }) => ({ offset, size: filesz })),
  ];
  const ends = taken.filter(({ offset }) => offset < limit).map(({ offset, size }) => offset + size);
  return Math.min(limit, Math.max(end, ...ends));
}
