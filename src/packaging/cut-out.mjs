/**
 * Cuts whole pages out of an ELF file. A segment that they were in becomes two, or a shorter one, each at its address of
 * before: nothing is mapped in between.
 */
import { PT_LOAD, PT_PHDR, readElf, SHT_NOBITS, writeElf } from './elf.mjs';

/** The largest page of any kernel for these CPUs. A segment's larger alignment is a wish for huge pages. */
const LARGEST_PAGE = 0x10000;

/** `holes` are ranges of the file, {start, end}, that nothing reads. Throws where their headers cannot be rewritten. */
export function cutOut(executable, holes) {
  const elf = readElf(executable);
  const page = pageOf(elf);
  const { table, cuts } = planCuts(elf, holes, page);
  const output = Buffer.from(executable);
  for (const { start, end } of holes) output.fill(0, start, end);
  const starts = [0, ...cuts.map(({ to }) => to)];
  const ends = [...cuts.map(({ from }) => from), output.length];
  const kept = Buffer.concat(starts.map((start, index) => output.subarray(start, ends[index])));
  writeElf(kept, cutHeaders(elf, cuts, { table, page }));
  return kept;
}

function loadsOf({ programs }) {
  return programs.filter(({ type }) => type === PT_LOAD);
}

function pageOf(elf) {
  return Math.max(...loadsOf(elf).map(({ align }) => (align > LARGEST_PAGE ? 0 : align)));
}

/**
 * What to cut, and where the table of program headers goes, which needs more entries: before the first cut. Kernels before
 * 5.18 take it to be at the first segment's address plus its offset in the file, so both have to agree there.
 */
function planCuts(elf, holes, page) {
  const { wordBits, file, programs } = elf;
  const wide = holes.filter(({ start, end }) => roundUp(start, page) < Math.floor(end / page) * page);
  const [hole, ...others] = wide.sort((one, other) => one.start - other.start);
  if (hole === undefined) throw new Error('cannot cut anything out: no hole is as large as a page');
  const table = roundUp(hole.start, wordBits / 8);
  // Each hole splits one segment at most.
  const behind = table + (programs.length + wide.length) * file.phentsize;
  const cuts = [{ start: behind, end: hole.end }, ...others].map(({ start, end }) => ({
    from: roundUp(start, page),
    to: Math.floor(end / page) * page,
  }));
  if (cuts[0].from >= cuts[0].to) throw new Error('cannot move the program headers: no room for them');
  const segment = loadsOf(elf).findLast(({ offset }) => offset <= table);
  const [first] = loadsOf(elf);
  const isGrown = segment.memsz > segment.filesz && segment.offset + segment.filesz <= table;
  if (isGrown || segment.vaddr - segment.offset !== first.vaddr - first.offset)
    throw new Error('cannot move the program headers: address and offset do not go together there');
  return { table: { offset: table, segment, address: segment.vaddr + table - segment.offset }, cuts };
}

function cutHeaders({ wordBits, file, programs, sections }, cuts, { table, page }) {
  const lower = (offset) =>
    offset - cuts.reduce((sum, { from, to }) => sum + (offset >= to ? to - from : 0), 0);
  const parts = programs.flatMap((each) => (each.type === PT_LOAD ? splitSegment(each, cuts) : [each]));
  const holder = parts.find(({ type, offset }) => type === PT_LOAD && offset === table.segment.offset);
  holder.filesz = Math.max(holder.filesz, cuts[0].from - holder.offset);
  holder.memsz = Math.max(holder.memsz, holder.filesz);
  const bytes = parts.length * file.phentsize;
  const place = {
    offset: table.offset,
    vaddr: table.address,
    paddr: table.address,
    filesz: bytes,
    memsz: bytes,
  };
  const header = (each) =>
    each.type === PT_PHDR
      ? { ...each, ...place }
      : { ...each, offset: lower(each.offset), align: each.align > LARGEST_PAGE ? page : each.align };
  return {
    wordBits,
    file: { ...file, phoff: table.offset, shoff: lower(file.shoff) },
    programs: parts.map(header),
    sections: sections.map((each) => ({ ...cutSection(each, cuts), offset: lower(each.offset) })),
  };
}

/** What is left of a segment, with offsets of before. */
function splitSegment(segment, cuts) {
  const end = segment.offset + segment.filesz;
  const cut = cuts.find(({ from, to }) => segment.offset < to && from < end);
  if (cut === undefined) return [{ ...segment }];
  const front = { ...segment, filesz: cut.from - segment.offset, memsz: cut.from - segment.offset };
  const skipped = cut.to - segment.offset;
  const back = {
    ...segment,
    offset: cut.to,
    vaddr: segment.vaddr + skipped,
    paddr: segment.paddr + skipped,
    filesz: segment.filesz - skipped,
    memsz: segment.memsz - skipped,
  };
  return [front, ...(back.filesz > 0 ? splitSegment(back, cuts) : [])];
}

/** A section that was cut through ends there; what is behind belongs to none. */
function cutSection(section, cuts) {
  const end = section.offset + section.size;
  const isWritten = section.type !== SHT_NOBITS;
  const cut = cuts.find(({ from, to }) => isWritten && section.offset < to && from < end);
  if (cut === undefined) return section;
  if (section.offset >= cut.from || end < cut.to)
    throw new Error('cannot cut: another section begins in what is to be cut');
  return { ...section, size: cut.from - section.offset };
}

function roundUp(value, alignment) {
  return Math.ceil(value / alignment) * alignment;
}
