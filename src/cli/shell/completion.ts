/** `gwe completion bash|zsh|fish`: a script for the shell, which asks `gwe --complete` for what it offers. */
import { GweError } from '../../base/errors.ts';
import type { CommandCall, CommandSpec } from './command.ts';
import { EXIT } from './exit.ts';

export const completionCommand: CommandSpec = {
  path: ['completion'],
  positionals: ['SHELL'],
  summary: 'Print a completion script for bash, zsh or fish',
  options: [],
  run: printCompletion,
};

async function printCompletion(call: CommandCall): Promise<number> {
  const [shell = ''] = call.positionals;
  const script = new Map(Object.entries(COMPLETION_SCRIPTS)).get(shell);
  if (script === undefined)
    throw new GweError(
      'USAGE_BAD_VALUE',
      `no completion for '${shell.slice(0, 40)}': expected bash, zsh or fish`,
    );
  call.io.stdout(script);
  return EXIT.ok;
}

/** By the names of the shells. What they ask for is one process of gwe for each press of the key. */
export const COMPLETION_SCRIPTS = {
  bash: `# bash completion of gwe, made by 'gwe completion bash'
_gwe() {
  local line=\${COMP_LINE:0:COMP_POINT} cur prefix="" word rest
  local -a words
  read -ra words <<<"$line"
  case "$line" in *[[:space:]]) words+=("") ;; esac
  cur=\${words[\${#words[@]}-1]}
  # bash replaces only what stands behind the =, where it takes that for the end of a word.
  case "$cur" in *=*) case "$COMP_WORDBREAKS" in *=*) prefix=\${cur%"\${cur##*=}"} ;; esac ;; esac
  COMPREPLY=()
  while IFS=$'\\t' read -r word rest; do
    case "$word" in
      :files)
        compopt -o filenames 2>/dev/null
        while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur") ;;
      :nospace) compopt -o nospace 2>/dev/null ;;
      *) COMPREPLY+=("\${word#"$prefix"}") ;;
    esac
  done < <("$1" --complete "\${words[@]:1}" 2>/dev/null)
}
complete -F _gwe gwe
`,
  zsh: `#compdef gwe
# zsh completion of gwe, made by 'gwe completion zsh'
_gwe() {
  local line
  local -a offers end
  for line in "\${(@f)$("\${words[1]}" --complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case "$line" in
      '') ;;
      :files) _files ;;
      :nospace) end=(-S '') ;;
      *$'\\t'*) offers+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
      *) offers+=("\${line//:/\\\\:}") ;;
    esac
  done
  (( $#offers )) && _describe gwe offers $end
}
# Loaded from fpath, this file is the body of the first call, which has to complete as well.
if [ "\${funcstack[1]}" = _gwe ]; then _gwe "$@"; else compdef _gwe gwe; fi
`,
  fish: `# fish completion of gwe, made by 'gwe completion fish'
function __gwe_complete
    set -l before (commandline -opc)
    set -l program $before[1]
    set -e before[1]
    set -l current (commandline -ct)
    for line in ($program --complete $before "$current" 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path "$current"
            case ':nospace'
            case '*'
                echo $line
        end
    end
end
complete -c gwe -f -a '(__gwe_complete)'
`,
} as const;
