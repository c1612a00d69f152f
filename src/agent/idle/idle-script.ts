/** The shell that a gwe with nothing to do becomes (src/packaging/README.md, "Idle"). */

/** Tells a gwe that it is a run that goes on, and why: the time is up, or somebody asked for it. */
export const WOKEN_VARIABLE = 'GWE_WOKEN';
export type WokenBy = 'time' | 'signal';

interface IdleScriptValues {
  /** Whole seconds: no more than that is known to every sleep(1). */
  seconds: number;
  /** What a stopped gwe would take away: its lock, and what it has to remember. */
  lock: string;
  memory: string;
  /** Where somebody who wants a check-in leaves word. */
  mark: string;
  /** The line that a gwe would log at its end, before and after the time. */
  lastWords: readonly [before: string, after: string];
  /** The program that goes on, with its arguments. */
  command: readonly string[];
}

/**
 * A constant, so that no value is ever read as a part of it. A trap ends the nap itself instead of leaving a note only, so
 * that a signal that comes just before `wait` is not slept over. It does not go on to `exec`: what came at the same
 * moment has its trap run after this one, and SIGTERM would be lost. Just before `exec`, where a trap would come too
 * late, signals have their usual effect again. `sleep` gets no descriptor of ours: had the shell been killed, it would
 * hold the pipe to the log. It is ended by SIGKILL: in the moment before it is sleep(1) it is a copy of the shell, which
 * would take another signal for its own and drop it. It is waited for, also behind a `wait` that a signal cut short, or it
 * would stay behind as a zombie of the gwe to come. `$!` knows it from its first moment on; no variable would.
 */
const IDLE_SCRIPT = `seconds=$1 lock=$2 memory=$3 mark=$4 before=$5 after=$6 why= up=
shift 6
rest() { [ -n "$up" ] || [ -z "$!" ] || { kill -KILL "$!"; wait "$!"; } 2>/dev/null; }
end() {
	trap '' TERM INT HUP USR1 USR2
	rest
	rm -f "$memory" "$lock"
	[ -z "$after" ] || printf '%s%s%s\n' "$before" "$(date -u +%Y-%m-%dT%H:%M:%S.000Z)" "$after" >&2
	exit 0
}
wake() {
	why=signal
	[ -z "$!" ] || kill -KILL "$!" 2>/dev/null
}
trap end TERM INT
trap wake HUP USR1 USR2
[ ! -e "$mark" ] || wake
sleep "$seconds" </dev/null >/dev/null 2>&1 &
[ -z "$why" ] || wake
wait "$!" 2>/dev/null
trap '' HUP USR1 USR2
wait "$!" 2>/dev/null
up=yes
export GWE_WOKEN="\${why:-time}"
trap - TERM INT
exec "$@"
`;

export const IDLE_SHELL = '/bin/sh';

/** The words of the shell's command line. */
export function idleArguments(values: IdleScriptValues): string[] {
  const { seconds, lock, memory, mark, lastWords, command } = values;
  return ['sh', '-c', IDLE_SCRIPT, 'gwe', String(seconds), lock, memory, mark, ...lastWords, ...command];
}
