/** Every event that the code logs, read from its text. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FINAL_STATES, WORKING_STATES } from '../../src/update/state-machine.ts';

export interface LogEvent {
  name: string;
  levels: string[];
  /** As they are written; `...` where more may follow. */
  fields: string[];
}

const CALL = /\.(debug|info|warn|error)\(\s*(?:'([^']+)'|`([^`$]+\$)[^`]*`|([A-Za-z]\w*))\s*,\s*/g;
/** What a name that is not a literal stands for. Passing an event on, as the progress bar does, names none. */
const STANDS_FOR: Readonly<Record<string, (text: string, level: string) => readonly string[]>> = {
  'update/runner.ts update.$': (_text, level) =>
    [...WORKING_STATES.slice(1), ...FINAL_STATES]
      .filter((state) => (level === 'warn') === BAD_STATES.includes(state))
      .map((state) => `update.${state}`),
  'agent/clock/clock-floor.ts event': (text) =>
    [...text.matchAll(/\bset\(.*'(clock\.[a-z-]+)'\)/g)].map(([, name = '']) => name),
  'cli/shell/progress-bar.ts event': () => [],
};
/** What an update comes to by a failure alone. */
const BAD_STATES: readonly string[] = ['failed', 'rolling-back', 'rollback-failed'];

/** Sorted by name. Throws for a call whose event cannot be told from the text. */
export function readLogEvents(source: string): LogEvent[] {
  const events = new Map<string, { levels: Set<string>; fields: Set<string> }>();
  for (const path of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('.ts')) continue;
    const text = readFileSync(join(source, path), 'utf8');
    for (const call of text.matchAll(CALL)) {
      const [whole, level = '', literal, template, variable] = call;
      const names =
        literal !== undefined ? [literal] : stands(`${path} ${template ?? variable}`, text, level);
      const fields = fieldsAt(text, call.index + whole.length);
      for (const name of names) {
        const event = events.get(name) ?? { levels: new Set(), fields: new Set() };
        event.levels.add(level);
        for (const field of fields) event.fields.add(field);
        events.set(name, event);
      }
    }
  }
  return [...events]
    .map(([name, { levels, fields }]) => ({
      name,
      levels: [...levels].sort(),
      fields: endWithMore([...fields]),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function stands(key: string, text: string, level: string): readonly string[] {
  const names = STANDS_FOR[key]?.(text, level);
  if (names === undefined) throw new Error(`cannot tell which events '${key}' stands for`);
  return names;
}

/** The keys of the object at `at`, or of what the name there stands for; `...` for what cannot be told from the text. */
function fieldsAt(text: string, at: number): string[] {
  if (text[at] !== '{') return fieldsOfName(text, at, /^\w+/.exec(text.slice(at))?.[0] ?? '');
  return partsOf(text, at + 1).flatMap((part) => {
    if (part.startsWith('...')) return fieldsOfName(text, at, part.slice(3));
    return /^\w+/.exec(part)?.[0] ?? part;
  });
}

/** Only what the same function has named. */
function fieldsOfName(text: string, before: number, name: string): string[] {
  const start = Math.max(0, text.lastIndexOf('\n}\n', before));
  const at = /^\w+$/.test(name) ? text.indexOf(`const ${name} = {`, start) : -1;
  return at === -1 || at > before ? ['...'] : fieldsAt(text, text.indexOf('{', at));
}

/** What stands between the commas from `start` to the bracket that closes. */
function partsOf(text: string, start: number): string[] {
  const parts: string[] = [];
  let [depth, from] = [0, start];
  for (let at = start; depth >= 0 && at < text.length; at++) {
    const character = text[at] ?? '';
    if ('{[('.includes(character)) depth++;
    if ('}])'.includes(character)) depth--;
    if (depth === -1 || (depth === 0 && character === ',')) {
      parts.push(text.slice(from, at).trim());
      from = at + 1;
    }
  }
  return parts.filter((part) => part !== '');
}

function endWithMore(fields: string[]): string[] {
  const named = fields.filter((field) => field !== '...');
  return named.length === fields.length ? named : [...named, '...'];
}
