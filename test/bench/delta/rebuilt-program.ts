/**
 * What a linker makes of a program when some of its functions have grown: code moves, and whatever tells where code or
 * data is says another number, all over the file. Made from a real executable (ELF, 64 bits, x86), whose calls, jumps,
 * references to data, tables of addresses and unwind tables are rewritten as a linker would. It is for comparing: its
 * headers stay as they were, so that it cannot run.
 */
import { numbers } from '../payload.ts';

interface Section {
  name: string;
  address: number;
  offset: number;
  sizeBytes: number;
}

/** Bytes put into the code at a place in it. */
interface Growth {
  offset: number;
  code: Buffer;
}

const PAGE_BYTES = 4096;
const FUNCTION_ALIGNMENT = 16;

/** `places`: how many functions grow, by up to 512 bytes each. The same for the same `program`, `places` and `seed`. */
export function rebuildProgram(program: Buffer, places: number, seed: string): Buffer {
  const sections = sectionsOf(program);
  const text = sections.find(({ name }) => name === '.text');
  if (text === undefined) throw new Error('a program without .text');
  const growths = planGrowths(program, text, places, numbers(seed));
  const layout = new Layout(text, growths);
  const moved = Buffer.from(program);
  relocateCode(moved, text, layout);
  for (const section of sections) relocateData(moved, section, layout);
  const pieces: Buffer[] = [];
  let at = 0;
  for (const { offset, code } of growths) {
    pieces.push(moved.subarray(at, offset), code);
    at = offset;
  }
  return Buffer.concat([...pieces, moved.subarray(at)]);
}

function sectionsOf(program: Buffer): Section[] {
  const table = Number(program.readBigUInt64LE(0x28));
  const count = program.readUInt16LE(0x3c);
  const headers = Array.from({ length: count }, (_, index) => {
    const at = table + index * program.readUInt16LE(0x3a);
    return {
      nameAt: program.readUInt32LE(at),
      type: program.readUInt32LE(at + 4),
      address: Number(program.readBigUInt64LE(at + 16)),
      offset: Number(program.readBigUInt64LE(at + 24)),
      sizeBytes: Number(program.readBigUInt64LE(at + 32)),
    };
  });
  const names = headers[program.readUInt16LE(0x3e)]?.offset ?? 0;
  const nobits = 8;
  return headers
    .filter(({ type, sizeBytes }) => type !== 0 && type !== nobits && sizeBytes > 0)
    .map(({ nameAt, address, offset, sizeBytes }) => {
      const from = names + nameAt;
      return { name: program.toString('latin1', from, program.indexOf(0, from)), address, offset, sizeBytes };
    });
}

/** New code looks like the code beside it. The last growth fills the page, so that what follows moves by whole pages. */
function planGrowths(program: Buffer, text: Section, places: number, next: () => number): Growth[] {
  const slots = Math.floor(text.sizeBytes / FUNCTION_ALIGNMENT) - PAGE_BYTES;
  const offsets = Array.from({ length: places }, () => text.offset + FUNCTION_ALIGNMENT * (next() % slots));
  const growths = [...new Set(offsets)]
    .sort((a, b) => a - b)
    .map((offset) => ({
      offset,
      code: codeLike(program, offset, FUNCTION_ALIGNMENT * (1 + (next() % 32)), next),
    }));
  const grown = growths.reduce((sum, { code }) => sum + code.length, 0);
  const code = Buffer.alloc(PAGE_BYTES - (grown % PAGE_BYTES), 0xcc);
  return [...growths, { offset: text.offset + text.sizeBytes, code }];
}

function codeLike(program: Buffer, offset: number, sizeBytes: number, next: () => number): Buffer {
  const code = Buffer.from(program.subarray(offset, offset + sizeBytes));
  for (let at = next() % 8; at < code.length; at += 1 + (next() % 12)) code[at] = next() & 255;
  return code;
}

/** Where an address is afterwards. */
class Layout {
  readonly #text: Section;
  /** Addresses from which on bytes are further on, and by how many. */
  readonly #from: number[] = [];
  readonly #by: number[] = [];

  constructor(text: Section, growths: readonly Growth[]) {
    this.#text = text;
    let by = 0;
    for (const { offset, code } of growths) {
      by += code.length;
      this.#from.push(offset - text.offset + text.address);
      this.#by.push(by);
    }
  }

  shiftOf(address: number): number {
    let low = 0;
    let high = this.#from.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#from[middle] ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    return this.#by[low - 1] ?? 0;
  }

  isCode(address: number): boolean {
    return address >= this.#text.address && address < this.#text.address + this.#text.sizeBytes;
  }
}

/** Calls and jumps with 32 bits, and operands that are relative to the next instruction. */
function relocateCode(moved: Buffer, text: Section, layout: Layout): void {
  const end = text.offset + text.sizeBytes - 8;
  for (let at = text.offset; at < end; at++) {
    const operandAt = operandBehind(moved, at);
    if (operandAt === 0) continue;
    const site = text.address + operandAt + 4 - text.offset;
    const target = site + moved.readInt32LE(operandAt);
    const isCall = operandAt === at + 1;
    if (isCall ? !layout.isCode(target) : Math.abs(target - site) > 2 ** 27) continue;
    moved.writeInt32LE(target + layout.shiftOf(target) - site - layout.shiftOf(site), operandAt);
    at = operandAt + 3;
  }
}

/** 0 for what is no instruction with such an operand. */
function operandBehind(code: Buffer, at: number): number {
  const [first = 0, second = 0, third = 0] = [code[at], code[at + 1], code[at + 2]];
  if (first === 0xe8 || first === 0xe9) return at + 1;
  const isWide = (first & 0xf8) === 0x48;
  const isMove = second === 0x8d || second === 0x8b || second === 0x89 || second === 0x3b || second === 0x39;
  return isWide && isMove && (third & 0xc7) === 0x05 ? at + 3 : 0;
}

function relocateData(moved: Buffer, section: Section, layout: Layout): void {
  if (section.name === '.text') return;
  if (section.name === '.eh_frame' || section.name === '.eh_frame_hdr')
    relocateUnwinding(moved, section, layout);
  else if (section.name === '.gopclntab') relocateGoTable(moved, section, layout);
  else relocateAddresses(moved, section, layout);
}

/** Words of 8 bytes that are addresses of code. */
function relocateAddresses(moved: Buffer, { offset, sizeBytes }: Section, layout: Layout): void {
  for (let at = offset; at + 8 <= offset + sizeBytes; at += 8) {
    if (moved.readUInt32LE(at + 4) !== 0) continue;
    const address = moved.readUInt32LE(at);
    if (layout.isCode(address)) moved.writeUInt32LE(address + layout.shiftOf(address), at);
  }
}

/** Words of 4 bytes that tell how far away code is: from the section's start in the index, from themselves in the table. */
function relocateUnwinding(moved: Buffer, section: Section, layout: Layout): void {
  const { name, address, offset, sizeBytes } = section;
  for (let at = offset; at + 4 <= offset + sizeBytes; at += 4) {
    const base = name === '.eh_frame' ? address + at - offset : address;
    const target = base + moved.readInt32LE(at);
    if (layout.isCode(target))
      moved.writeInt32LE(target + layout.shiftOf(target) - base - layout.shiftOf(base), at);
  }
}

/** Go's table of functions (1.20): how far behind the start of the code each one is, in an index and in its record. */
function relocateGoTable(moved: Buffer, { offset }: Section, layout: Layout): void {
  const count = Number(moved.readBigUInt64LE(offset + 8));
  const start = Number(moved.readBigUInt64LE(offset + 24));
  const table = offset + Number(moved.readBigUInt64LE(offset + 64));
  for (let index = 0; index < count; index++) {
    const at = table + 8 * index;
    for (const place of [at, table + moved.readUInt32LE(at + 4)]) {
      const behind = moved.readUInt32LE(place);
      moved.writeUInt32LE(behind + layout.shiftOf(start + behind), place);
    }
  }
}
