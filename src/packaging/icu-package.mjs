/**
 * ICU's data for every locale, as it lies in the runtime: a "common data" package (udata.h, ucmndata.h of ICU). A header,
 * a count, a table of name and data offsets, the names, then the items, each aligned to 16.
 */

const MAGIC_AT = 2;
const FORMAT_AT = 12;
const ALIGNMENT = 16;

/** What stays of the trees of locales; everything else stays as well, except `LEFT_OUT`. */
const KEPT_LOCALES = new Set(['root', 'en', 'en_001', 'en_US', 'en_US_POSIX']);
const LOCALE = /^[a-z]{2,3}(_[A-Za-z0-9]*)*$/;
const NOT_LOCALES = new Set(['res_index']);

/**
 * Without these, gwe behaves the same: character sets (the one that `latin1` means to a TextDecoder stays), names of
 * characters, transliterations, dictionaries of scripts without spaces, breaks by the rules of one language, profiles of
 * stringprep (the runtime has UTS 46), look-alike characters, numbers written out, Windows' names of time zones.
 */
const LEFT_OUT = [
  /^(?!ibm-5348_).*\.cnv$/,
  /^unames\.icu$/,
  /^translit\//,
  /\.dict$/,
  /\.spp$/,
  /^confusables\.cfu$/,
  /^rbnf\//,
  /^windowsZones\.res$/,
  /^brkitr\/(?!(char|word|sent|line|title)\.brk$|.*\.res$)/,
];

/** The items of a package that starts at `bytes[0]`. Throws where it is not understood. */
export function readPackage(bytes) {
  const headerSize = bytes.readUInt16LE(0);
  const isOurs =
    bytes.readUInt16LE(MAGIC_AT) === 0x27da && bytes.toString('latin1', FORMAT_AT, FORMAT_AT + 4) === 'CmnD';
  if (!isOurs) throw new Error("cannot read the locale data: expected a package of format 'CmnD'");
  const count = bytes.readUInt32LE(headerSize);
  const offsets = Array.from({ length: count }, (_, index) => ({
    name: bytes.readUInt32LE(headerSize + 4 + 8 * index),
    data: bytes.readUInt32LE(headerSize + 8 + 8 * index),
  }));
  const items = offsets.map(({ name, data }, index) => {
    const start = headerSize + name;
    const end = offsets[index + 1]?.data ?? bytes.length - headerSize;
    if (data % ALIGNMENT !== 0 || data >= end || end > bytes.length - headerSize)
      throw new Error('cannot read the locale data: its items are out of order');
    return {
      name: bytes.toString('latin1', start, bytes.indexOf(0, start)),
      data: bytes.subarray(headerSize + data, headerSize + end),
    };
  });
  return { header: bytes.subarray(0, headerSize), items };
}

/** A package of `items`, which are in the order of the one that they come from: it is searched by halves. */
export function writePackage({ header, items }) {
  const names = Buffer.from(items.map(({ name }) => `${name}\0`).join(''), 'latin1');
  const tableBytes = 4 + 8 * items.length;
  const table = Buffer.alloc(tableBytes);
  table.writeUInt32LE(items.length, 0);
  const parts = [header, table, names];
  let nameAt = tableBytes;
  let at = tableBytes + names.length;
  for (const [index, { name, data }] of items.entries()) {
    const padding = (ALIGNMENT - (at % ALIGNMENT)) % ALIGNMENT;
    parts.push(Buffer.alloc(padding), data);
    table.writeUInt32LE(nameAt, 4 + 8 * index);
    table.writeUInt32LE(at + padding, 8 + 8 * index);
    nameAt += name.length + 1;
    at += padding + data.length;
  }
  return Buffer.concat(parts);
}

/** Whether gwe, or the runtime for it, can do without the item. */
export function isSpare(name) {
  const inTree = name.slice(name.indexOf('/') + 1);
  if (LEFT_OUT.some((pattern) => pattern.test(inTree))) return true;
  const base = /([^/]*)\.res$/.exec(inTree)?.[1];
  return base !== undefined && LOCALE.test(base) && !KEPT_LOCALES.has(base) && !NOT_LOCALES.has(base);
}
