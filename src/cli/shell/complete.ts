/**
 * What the last word of a command line may be: `gwe --complete WORD...`, which the scripts of all shells ask.
 * A line for each: the word, and what it is behind a tab. `:files` stands for files, `:nospace` says that the word
 * continues.
 */
import { ENGINE_SETTINGS } from '../../config/schema.ts';
import type { SettingSpec } from '../../config/setting.ts';
import { createInstalledStore } from '../../store/installed-store.ts';
import { createLayout } from '../../store/layout.ts';
import type { CommandIo, CommandSpec, OptionSpec } from './command.ts';
import { spellings } from './command-tree.ts';
import { optionsShown } from './help.ts';
import { FLAG_OPTIONS, LIST_FORMATS } from './options.ts';
import { absolutePath } from './path.ts';
import { TOPICS } from './topics.ts';

interface Offer {
  word: string;
  text?: string;
}

interface Group {
  word: string;
  summary: string;
  load(): Promise<readonly CommandSpec[]>;
}

const FILES: Offer = { word: ':files' };
const NO_SPACE: Offer = { word: ':nospace' };
/** Placeholders that stand for a file. */
const FILE_VALUES = /\b(FILE|DIR|TARBALL|BUILDFILE|OLD|NEW|BASE)\b/;
const SHELLS = ['bash', 'zsh', 'fish'];
/** Keys of Gateway.cfg that `gwe config` takes besides. */
const DEVICE_KEYS = ['product', 'vendor', 'model', 'uuid', 'iface'];

/** Prints what the last of `words` may be. */
export async function printOffers(
  io: CommandIo,
  groups: readonly Group[],
  words: readonly string[],
): Promise<void> {
  const current = words.at(-1) ?? '';
  const offers = await findOffers({ io, groups, before: withoutRoot(words.slice(0, -1)), current });
  const fitting = offers.filter(({ word }) => word.startsWith(':') || word.startsWith(current));
  io.stdout(fitting.map(({ word, text }) => `${word}${text === undefined ? '' : `\t${text}`}\n`).join(''));
}

interface Asked {
  io: CommandIo;
  groups: readonly Group[];
  /** The words before the one that is completed. */
  before: readonly string[];
  current: string;
}

async function findOffers(asked: Asked): Promise<readonly Offer[]> {
  const { groups, before, current } = asked;
  const [first] = before;
  if (first === undefined && !current.startsWith('-'))
    return groups.map(({ word, summary }) => ({ word, text: summary }));
  const group = groups.find(({ word }) => word === first);
  if (group === undefined) return offersOf(asked, { options: FLAG_OPTIONS, positionals: [], words: before });
  const specs = await group.load();
  const spec = specs
    .filter(({ path }) => path.every((word, index) => before[index] === word))
    .sort((a, b) => b.path.length - a.path.length)[0];
  if (spec === undefined) return nextWords(specs, before);
  const words = before.slice(spec.path.length);
  return offersOf(asked, { options: optionsShown(spec), positionals: spec.positionals, words });
}

/** What may follow within a group of commands. */
function nextWords(specs: readonly CommandSpec[], before: readonly string[]): Offer[] {
  const below = specs.filter(({ path }) => before.every((word, index) => path[index] === word));
  const next = new Map(below.map(({ path, summary }) => [path[before.length] ?? '', summary]));
  return [...next].map(([word, text]) => ({ word, text }));
}

interface Line {
  options: readonly OptionSpec[];
  positionals: readonly string[];
  /** Behind the words of the command. */
  words: readonly string[];
}

function offersOf(asked: Asked, line: Line): readonly Offer[] {
  const open = openOption(line);
  if (open !== undefined && !asked.current.startsWith('-')) return valuesOf(asked, open);
  if (asked.current.startsWith('-')) {
    return line.options.flatMap((option) => spellings(option).map((word) => ({ word, text: option.help })));
  }
  const position = line.words.filter((word, index) => !word.startsWith('-') && !isValue(line, index)).length;
  const placeholder = line.positionals[Math.min(position, line.positionals.length - 1)];
  if (placeholder === undefined || (position >= line.positionals.length && !placeholder.includes('...')))
    return [];
  return valuesOf(asked, placeholder);
}

/** The placeholder of the option that the next word is a value of. */
function openOption(line: Line): string | undefined {
  const at = line.words.findLastIndex((word) => word.startsWith('-'));
  const option = line.options.find((each) => spellings(each).includes(line.words[at] ?? ''));
  const given = line.words.length - 1 - at;
  return option?.value !== undefined && (given === 0 || option.many === true) ? option.value : undefined;
}

/** Whether the word at `index` is the value of the option before it. */
function isValue(line: Line, index: number): boolean {
  return openOption({ ...line, words: line.words.slice(0, index) }) !== undefined;
}

function valuesOf({ io, groups, before, current }: Asked, placeholder: string): readonly Offer[] {
  const name = placeholder.replace(/[[\].]/g, '');
  if (name === 'KEY=VALUE') return assignments(current);
  if (name === 'KEY') return settings().map(({ key, help }) => ({ word: key, text: help }));
  if (name === 'LEVEL') return words(ENGINE_SETTINGS.debugLevel.choices);
  if (name === 'FORMAT') return words(LIST_FORMATS);
  if (name === 'SHELL') return words(SHELLS);
  if (name === 'COMMAND|TOPIC' || name === 'COMMAND') {
    if (before.length > 1) return [];
    const topics = name === 'COMMAND' ? [] : TOPICS.map((topic) => ({ word: topic.name, text: topic.intro }));
    return [...groups.map(({ word, summary }) => ({ word, text: summary })), ...topics];
  }
  if (/\bAPP\b/.test(name)) return words(installedApps(io));
  return FILE_VALUES.test(name) ? [FILES] : [];
}

function words(texts: readonly string[]): Offer[] {
  return texts.map((word) => ({ word }));
}

function settings(): readonly SettingSpec[] {
  return Object.values(ENGINE_SETTINGS);
}

/** `KEY=` at first, then the values that the key may have. */
function assignments(current: string): readonly Offer[] {
  const key = current.slice(0, Math.max(0, current.indexOf('=')));
  const spec = settings().find((each) => each.key === key);
  if (spec === undefined) {
    const keys = settings().map((each) => ({ word: `${each.key}=`, text: each.help }));
    return [NO_SPACE, ...words(DEVICE_KEYS.map((each) => `${each}=`)), ...keys];
  }
  const values = spec.type === 'boolean' ? ['true', 'false'] : (spec.choices ?? []);
  return words(values.map((value) => `${key}=${value}`));
}

function installedApps(io: CommandIo): string[] {
  const layout = createLayout(absolutePath(io, io.env.GWE_ROOT ?? '/'));
  const records = Object.entries(createInstalledStore(layout).all());
  return records
    .filter(([, record]) => record.active !== undefined || record.previous !== undefined)
    .map(([app]) => app);
}

/** A --root before the command is not one of its words. */
function withoutRoot(words: readonly string[]): readonly string[] {
  const [first = ''] = words;
  return words.slice(first === '--root' ? 2 : first.startsWith('--root=') ? 1 : 0);
}
