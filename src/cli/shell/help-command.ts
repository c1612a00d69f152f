/** `gwe help [COMMAND...|TOPIC]`: the pages of --help by name, and topics from the tables that the manual page has. */
import { GweError } from '../../base/errors.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import {
  type CommandSummary,
  optionsShown,
  renderCommandHelp,
  renderCommandList,
  renderFlagHelp,
  renderGroupHelp,
  renderMainHelp,
  renderTopic,
} from './help.ts';
import { nearestMeaning } from './meaning.ts';
import { FLAG_OPTIONS } from './options.ts';
import { showPage } from './pager.ts';
import { TOPICS } from './topics.ts';

type Group = CommandSummary & { load(): Promise<readonly CommandSpec[]> };

export function helpCommand(groups: readonly Group[]): CommandSpec {
  return {
    path: ['help'],
    positionals: ['[COMMAND|TOPIC]...'],
    summary: `Show the help of a command, or a topic: commands, options, ${TOPICS.map(({ name }) => name).join(', ')}`,
    options: [],
    run: async ({ io, positionals }: CommandCall) => showPage(io, await renderPage(groups, positionals)),
  };
}

async function renderPage(groups: readonly Group[], words: readonly string[]): Promise<string> {
  const [word] = words;
  if (word === undefined) return renderMainHelp(groups);
  const group = groups.find((candidate) => candidate.word === word);
  if (group !== undefined) return renderNamed(await group.load(), words);
  if (word === 'commands') return renderCommandList(groups);
  if (word === 'options') return renderFlagHelp(FLAG_OPTIONS);
  const topic = TOPICS.find(({ name }) => name === word);
  if (topic !== undefined) return renderTopic(topic);
  const names = [
    ...groups.map((each) => each.word),
    ...TOPICS.map(({ name }) => name),
    'commands',
    'options',
  ];
  throw unknownPage(words, [], names);
}

function renderNamed(specs: readonly CommandSpec[], words: readonly string[]): string {
  const found = specs.filter((spec) => words.every((word, index) => spec.path[index] === word));
  const [first] = found;
  if (first === undefined) {
    const known = words.slice(0, -1);
    throw unknownPage(
      words,
      known,
      specs.map((spec) => spec.path[known.length] ?? ''),
    );
  }
  const isGroup = first.path.length > words.length;
  return isGroup
    ? renderGroupHelp(words, found)
    : renderCommandHelp({ ...first, options: optionsShown(first) });
}

function unknownPage(
  words: readonly string[],
  known: readonly string[],
  candidates: readonly string[],
): GweError {
  const nearest = nearestMeaning(words[known.length] ?? '', candidates);
  const meant =
    nearest === undefined ? "see 'gwe help'" : `did you mean '${['gwe help', ...known, nearest].join(' ')}'?`;
  return new GweError('USAGE_BAD_OPTION', `no help about '${words.join(' ').slice(0, 60)}': ${meant}`);
}
