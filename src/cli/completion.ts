/** `gwe completion bash|zsh`: a script for the shell, made from the tables that the parser reads. */
import { GweError } from '../base/errors.ts';
import type { CommandCall, CommandSpec, OptionSpec } from './command.ts';
import { type CommandTree, optionsOf, spellings } from './command-tree.ts';
import { EXIT } from './exit.ts';

export function completionCommand(loadTree: () => Promise<CommandTree>): CommandSpec {
  return {
    path: ['completion'],
    positionals: ['SHELL'],
    summary:
      "Print a completion script: 'gwe completion bash > /etc/bash_completion.d/gwe'; SHELL is bash or zsh",
    options: [],
    run: (call) => printCompletion(call, loadTree),
  };
}

async function printCompletion(call: CommandCall, loadTree: () => Promise<CommandTree>): Promise<number> {
  const [shell = ''] = call.positionals;
  if (shell !== 'bash' && shell !== 'zsh')
    throw new GweError('USAGE_BAD_VALUE', `no completion for '${shell.slice(0, 40)}': expected bash or zsh`);
  const tree = await loadTree();
  call.io.stdout(shell === 'bash' ? renderBash(tree) : renderZsh(tree));
  return EXIT.ok;
}

/** Values that are names of files: the shell knows these. */
const FILE_VALUES = new Set(['FILE', 'DIR', 'TARBALL', 'BUILDFILE']);

/** What may follow the words that have been typed; `APPS` stands for the installed apps. */
interface Offer {
  words: string;
  next: readonly string[];
}

/** The longest words first, so that a shell's `case` takes the most particular. */
function listOffers(tree: CommandTree): Offer[] {
  const nodes = new Map<string, Set<string>>();
  const add = (words: readonly string[], ...next: string[]): void => {
    const key = words.join(' ');
    nodes.set(key, new Set([...(nodes.get(key) ?? []), ...next]));
  };
  add([], ...tree.flags.flatMap(spellings));
  for (const spec of tree.commands) {
    for (const [depth, word] of spec.path.entries()) add(spec.path.slice(0, depth), word);
    const apps = spec.positionals.some((name) => name.includes('APP')) ? ['APPS'] : [];
    add(spec.path, ...optionsOf(tree, spec).flatMap(spellings), ...apps);
  }
  return [...nodes]
    .map(([words, next]) => ({ words, next: [...next] }))
    .sort((a, b) => b.words.length - a.words.length);
}

/** The spellings of every option whose value is a file. */
function fileOptions(tree: CommandTree): string[] {
  const all: OptionSpec[] = [...tree.flags, ...tree.commands.flatMap((spec) => spec.options)];
  return [...new Set(all.filter(({ value }) => FILE_VALUES.has(value ?? '')).flatMap(spellings))];
}

const LIST_APPS = "gwe list 2>/dev/null | sed -n '2,$s/ .*//p'";

/** Lines of a `case` that sets `offers`, the same for both shells. */
function renderCases(tree: CommandTree): string[] {
  return listOffers(tree).map(({ words, next }) => {
    const fixed = next.filter((word) => word !== 'APPS').join(' ');
    const apps = next.includes('APPS') ? ` $(${LIST_APPS})` : '';
    return `    "${words}"${words === '' ? '' : ' | '}${words === '' ? '' : `"${words} "*`}) offers="${fixed}${apps}" ;;`;
  });
}

export function renderBash(tree: CommandTree): string {
  return `# bash completion of gwe, made by 'gwe completion bash'
_gwe() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} typed="" offers="" i
  COMPREPLY=()
  case "$prev" in
    ${fileOptions(tree).join(' | ')})
      COMPREPLY=($(compgen -f -- "$cur"))
      return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${COMP_WORDS[i]}" in -*) break ;; esac
    typed="$typed\${typed:+ }\${COMP_WORDS[i]}"
  done
  case "$typed" in
${renderCases(tree).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$offers" -- "$cur"))
}
complete -o default -F _gwe gwe
`;
}

export function renderZsh(tree: CommandTree): string {
  return `#compdef gwe
# zsh completion of gwe, made by 'gwe completion zsh'
_gwe() {
  local typed="" offers="" i
  case "\${words[CURRENT-1]}" in
    ${fileOptions(tree).join(' | ')})
      _files
      return ;;
  esac
  for ((i = 2; i < CURRENT; i++)); do
    case "\${words[i]}" in -*) break ;; esac
    typed="$typed\${typed:+ }\${words[i]}"
  done
  case "$typed" in
${renderCases(tree).join('\n')}
  esac
  compadd -- \${=offers}
}
# Loaded from fpath, this file is the body of the first call, which has to complete as well.
if [ "\${funcstack[1]}" = _gwe ]; then _gwe "$@"; else compdef _gwe gwe; fi
`;
}
