/** ELF files of either word size, little-endian: their program and section headers as objects that can be written back. */

/** Field -> its place in an entry, by word size (ELF specification, gABI chapters 4 and 5). `w` is a word, `4` four bytes. */
const FIELDS = {
  64: {
    file: {
      entry: [24, 'w'],
      phoff: [32, 'w'],
      shoff: [40, 'w'],
      phentsize: [54, 2],
      phnum: [56, 2],
      shentsize: [58, 2],
      shnum: [60, 2],
    },
    program: {
      type: [0, 4],
      flags: [4, 4],
      offset: [8, 'w'],
      vaddr: [16, 'w'],
      paddr: [24, 'w'],
      filesz: [32, 'w'],
      memsz: [40, 'w'],
      align: [48, 'w'],
    },
    section: {
      name: [0, 4],
      type: [4, 4],
      flags: [8, 'w'],
      addr: [16, 'w'],
      offset: [24, 'w'],
      size: [32, 'w'],
      link: [40, 4],
    },
    symbol: { name: [0, 4], value: [8, 'w'], size: [16, 'w'] },
    symbolBytes: 24,
  },
  32: {
    file: {
      entry: [24, 'w'],
      phoff: [28, 'w'],
      shoff: [32, 'w'],
      phentsize: [42, 2],
      phnum: [44, 2],
      shentsize: [46, 2],
      shnum: [48, 2],
    },
    program: {
      type: [0, 4],
      offset: [4, 'w'],
      vaddr: [8, 'w'],
      paddr: [12, 'w'],
      filesz: [16, 'w'],
      memsz: [20, 'w'],
      flags: [24, 4],
      align: [28, 'w'],
    },
    section: {
      name: [0, 4],
      type: [4, 4],
      flags: [8, 'w'],
      addr: [12, 'w'],
      offset: [16, 'w'],
      size: [20, 'w'],
      link: [24, 4],
    },
    symbol: { name: [0, 4], value: [4, 'w'], size: [8, 'w'] },
    symbolBytes: 16,
  },
};

export const PT_LOAD = 1;
export const PT_NOTE = 4;
export const PT_PHDR = 6;
const SHT_SYMTAB = 2;
export const SHT_NOBITS = 8;

/** Throws for what is no little-endian ELF file. */
export function readElf(bytes) {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[5] !== 1)
    throw new Error('cannot read executable: expected a little-endian ELF file');
  const wordBits = bytes[4] === 2 ? 64 : 32;
  const fields = FIELDS[wordBits];
  const file = readFields(bytes, 0, fields.file, wordBits);
  const table = (offset, size, count, layout) =>
    Array.from({ length: count }, (_, index) => readFields(bytes, offset + index * size, layout, wordBits));
  return {
    wordBits,
    file,
    programs: table(file.phoff, file.phentsize, file.phnum, fields.program),
    sections: table(file.shoff, file.shentsize, file.shnum, fields.section),
  };
}

/** Writes the headers where `elf.file` says that they are. */
export function writeElf(bytes, { wordBits, file, programs, sections }) {
  const fields = FIELDS[wordBits];
  writeFields({ bytes, wordBits }, 0, fields.file, { ...file, phnum: programs.length });
  const put = (offset, size, all, layout) => {
    for (const [index, each] of all.entries())
      writeFields({ bytes, wordBits }, offset + index * size, layout, each);
  };
  put(file.phoff, file.phentsize, programs, fields.program);
  put(file.shoff, file.shentsize, sections, fields.section);
}

/** Address and size of the one symbol whose name matches. Throws where there is none, or the file is stripped. */
export function findSymbol(bytes, pattern) {
  const { wordBits, sections } = readElf(bytes);
  const table = sections.find(({ type }) => type === SHT_SYMTAB);
  const names = table && sections[table.link];
  if (names === undefined) throw new Error('cannot find a symbol: the runtime has no symbol table');
  const { symbol, symbolBytes } = FIELDS[wordBits];
  for (let at = table.offset; at < table.offset + table.size; at += symbolBytes) {
    const found = readFields(bytes, at, symbol, wordBits);
    const start = names.offset + found.name;
    if (found.size > 0 && pattern.test(bytes.toString('latin1', start, bytes.indexOf(0, start))))
      return { address: found.value, size: found.size };
  }
  throw new Error(`cannot find a symbol like ${pattern} in the runtime`);
}

function readFields(bytes, base, layout, wordBits) {
  const read = ([at, kind]) =>
    kind === 'w' && wordBits === 64
      ? Number(bytes.readBigUInt64LE(base + at))
      : bytes.readUIntLE(base + at, kind === 2 ? 2 : 4);
  return Object.fromEntries(Object.entries(layout).map(([name, place]) => [name, read(place)]));
}

function writeFields({ bytes, wordBits }, base, layout, values) {
  for (const [name, [at, kind]] of Object.entries(layout)) {
    if (kind === 'w' && wordBits === 64) bytes.writeBigUInt64LE(BigInt(values[name]), base + at);
    else bytes.writeUIntLE(values[name], base + at, kind === 2 ? 2 : 4);
  }
}
