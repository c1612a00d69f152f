/** The text of usr/local/bin/gwe once gwe is installed as a service (src/agent/README.md, "The path of an update"). */
import { HEEDED_BY_RUNTIME } from '../base/scrub.ts';

/** Its second line begins so: a file that has it was written by gwe and may be replaced. */
const MARKER = '# launcher of gwe:';

export function isLauncher(text: string): boolean {
  return text.startsWith(`#!/bin/sh\n${MARKER}`);
}

/**
 * A POSIX script (dash, busybox sh) of at most 40 lines, because it is the one part of gwe that never gets a second
 * chance. It finds its root by its own path.
 *
 * Where starts are counted: a version that has checked in once (its name is in var/lib/gwe/confirmed) is not doubted
 * for being killed or offline, so only its failed self-tests count, in run/gwe: memory, and forgotten at a reboot. A
 * version that never checked in may be what reboots the gateway, so its starts are counted on the flash, synced before
 * it runs: four small writes in the life of a version, none at a usual start.
 *
 * The executable is tried as a child first: a failed exec ends the shell. `ELF` is looked for because a shell runs what
 * the kernel refuses as a script, and an empty file (a power cut leaves such) would be a script that succeeds.
 *
 * `previous` is compared with what it was when gwe left it, where there is a sha256sum. Only root can have changed
 * it, or the flash: it is said, and what passes the self-test starts all the same, for a gateway without gwe hears
 * nothing more.
 *
 * What the environment says to the runtime is taken away here, because the one of armv7l obeys it (src/base/scrub.ts).
 *
 * GWE_LAUNCHED tells gwe which version it is. GWE_WOKEN is set by a gwe that handed its process to a sleeping shell:
 * such a start is the same run going on, so it is neither counted nor tried.
 *
 * SIGHUP requests a check-in, and a start leads to one anyway. (The runtime gives it its usual effect back.)
 */
export const LAUNCHER = `#!/bin/sh
${MARKER} starts current, or previous after three starts that gwe did not confirm
case $0 in */usr/local/bin/gwe) root=\${0%/usr/local/bin/gwe} ;; *) root=\${GWE_ROOT:-} ;; esac
unset ${HEEDED_BY_RUNTIME.join(' ')}; trap '' HUP
apps=$root/opt/gwe/apps/gwe kept=$root/var/lib/gwe/previous.sha256 confirmed= name= count=0 saved= guard=
current=$(readlink "$apps/current") previous=$(readlink "$apps/previous")
[ -r "$root/var/lib/gwe/confirmed" ] && read -r confirmed <"$root/var/lib/gwe/confirmed"
counts=$root/var/lib/gwe; [ "$current" = "$confirmed" ] && counts=$root/run/gwe
[ -r "$counts/starts" ] && read -r name count <"$counts/starts"
case $name:$count in "$current":[0-9]) ;; *) count=0 ;; esac
target=$current other=$previous
if [ "$count" -ge 3 ] && [ -n "$previous" ]; then target=$previous other=$current; fi

run() { export GWE_LAUNCHED="$1"; shift; exec "$apps/$GWE_LAUNCHED/gwe" "$@"; }
works() {
	case $(head -c 4 "$apps/$1/gwe" 2>/dev/null) in ?ELF) ;; *) return 1 ;; esac
	[ "$1" = "$previous" ] && [ -r "$kept" ] && read -r sum of <"$kept" && [ "$of" = "$1" ] &&
		found=$($guard sha256sum <"$apps/$1/gwe" 2>/dev/null) && [ "\${found%% *}" != "$sum" ] &&
		echo "gwe launcher: '$apps/$1/gwe' has changed: sha256 \${found%% *}, expected $sum; starting it if it passes its self-test" >&2
	[ "$($guard "$apps/$1/gwe" --self-test </dev/null 2>/dev/null)" = ok ]
}

[ $# -gt 0 ] && run "$target" "$@"
[ -n "\${GWE_WOKEN:-}" ] && [ "$target" = "$confirmed" ] && run "$target"
if [ "$target" = "$current" ]; then
	[ "$count" -lt 9 ] && count=$((count + 1)); [ -d "$counts/starts" ] && mv "$counts/starts" "$counts/starts.unreadable"
	mkdir -p "$counts" && echo "$current $count" >"$counts/starts.new" &&
		mv "$counts/starts.new" "$counts/starts" && saved=1
	[ "$current" = "$confirmed" ] || sync
fi
timeout -s KILL 5 true 2>/dev/null && guard='timeout -s KILL 60'
if works "$target"; then
	[ "$target" = "$confirmed" ] && [ "$target" = "$current" ] && rm -f "$counts/starts"
	run "$target"
fi
echo "gwe launcher: '$apps/$target/gwe' fails its self-test (start $count of 3)" >&2
if [ "$target" = "$current" ] && [ -n "$saved" ]; then exit 1; fi
works "$other" && run "$other"
exit 1
`;
