/**
 * INI text as Python's ConfigParser wrote it for the original gwe: `[section]`, `key = value` or `key: value`,
 * `#` and `;` comment lines, continuation lines that start with white space, keys without regard to case,
 * duplicates allowed (the last wins). Editing keeps every line that is not touched.
 */

export interface IniEntry {
  key: string;
  value: string;
  /** 1-based line of the key. */
  line: number;
}

export interface IniSection {
  name: string;
  line: number;
  entries: IniEntry[];
}

interface IniProblem {
  line: number;
  message: string;
}

export interface IniDocument {
  sections: IniSection[];
  problems: IniProblem[];
}

const SECTION = /^\[([^\]]+)\]/;
const OPTION = /^([^:=\s][^:=]*?)\s*[:=]\s*(.*)$/;

export function parseIni(text: string): IniDocument {
  const document: IniDocument = { sections: [], problems: [] };
  let section: IniSection | undefined;
  let entry: IniEntry | undefined;
  for (const [index, raw] of splitLines(text).entries()) {
    const line = index + 1;
    const trimmed = raw.trim();
    if (trimmed === '' || /^[#;]/.test(trimmed)) continue;
    const header = SECTION.exec(raw);
    const option = OPTION.exec(raw);
    if (/^\s/.test(raw) && entry !== undefined) {
      entry.value = entry.value === '' ? stripComment(trimmed) : `${entry.value}\n${stripComment(trimmed)}`;
    } else if (header?.[1] !== undefined) {
      section = { name: header[1].trim(), line, entries: [] };
      document.sections.push(section);
      entry = undefined;
    } else if (option?.[1] === undefined || option[2] === undefined) {
      document.problems.push({
        line,
        message: `'${trimmed.slice(0, 60)}' is neither [section] nor key = value`,
      });
    } else if (section === undefined) {
      document.problems.push({ line, message: `'${option[1]}' stands before any [section]` });
    } else {
      entry = { key: option[1].toLowerCase(), value: stripComment(option[2].trim()), line };
      section.entries.push(entry);
    }
  }
  return document;
}

/** The last value of `key` in any section called `name`. */
export function iniValue(document: IniDocument, name: string, key: string): string | undefined {
  let found: string | undefined;
  for (const section of document.sections) {
    if (section.name !== name) continue;
    for (const entry of section.entries) if (entry.key === key) found = entry.value;
  }
  return found;
}

/**
 * `text` with `key = value` set in `[name]`: the last such line is replaced, or one is added at the end of the
 * section, or the section is added at the end. Every other line stays as it is.
 */
export function setIniValue(text: string, name: string, key: string, value: string): string {
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const lines = text === '' ? [] : splitLines(text);
  const document = parseIni(text);
  const sections = document.sections.filter((section) => section.name === name);
  const entry = sections.flatMap((section) => section.entries).findLast((candidate) => candidate.key === key);
  const rendered = `${key} = ${value}`;
  if (entry !== undefined) {
    lines.splice(entry.line - 1, valueLines(lines, entry.line), rendered);
  } else if (sections.length > 0) {
    const last = sections[sections.length - 1] as IniSection;
    const lastEntry = last.entries[last.entries.length - 1];
    const at = lastEntry === undefined ? last.line : lastEntry.line - 1 + valueLines(lines, lastEntry.line);
    lines.splice(at, 0, rendered);
  } else {
    while (lines.length > 0 && lines[lines.length - 1] === '') lines.pop();
    if (lines.length > 0) lines.push('');
    lines.push(`[${name}]`, rendered, '', '');
  }
  return lines.join(newline);
}

/** How many lines the option that starts at 1-based `line` takes, continuations included. */
function valueLines(lines: readonly string[], line: number): number {
  let count = 1;
  while (/^\s+\S/.test(lines[line - 1 + count] ?? '')) count++;
  return count;
}

function splitLines(text: string): string[] {
  return text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
}

/** ConfigParser and supervisord end a value at white space followed by `;`. */
function stripComment(value: string): string {
  return value.replace(/(^|\s);.*$/, '').trim();
}
