#!/bin/sh
# Installs gwe on this gateway: copy it here with the executable for this machine beside it, and run it as root.
#   ./install.sh [--supervisord | --systemd] [--dry-run]
# GWE_ROOT=DIR installs below DIR. apps_to_install/*.tar.gz beside it are installed afterwards, in order.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

# What root runs from here nobody else may be able to change: /tmp is everybody's.
me=$(id -u)
require_own() {
	for listed in "$(ls -ldn "$1")" "$(ls -ldnL "$1")"; do
		set -f
		# shellcheck disable=SC2086
		set -- "$1" $listed
		set +f
		case $4 in
		0 | "$me") ;;
		*) fail "'$1' belongs to uid $4, expected root: copy everything into a new directory of root's, and run it there" ;;
		esac
		case $2:$5 in
		l* | d????????t*) continue ;;
		????????w* | ?????w*:[1-9]*) fail "'$1' may be changed by others (mode $2): chmod go-w it, in a directory of root's" ;;
		esac
	done
}
require_own "$here"
[ ! -f "$0" ] || require_own "$0"

# The executable: dist/'s name for this machine, or plain gwe.
machine=$(uname -m)
case $machine in
x86_64) target=linux-x64 loader=/lib64/ld-linux-x86-64.so.2 ;;
aarch64) target=linux-arm64 loader=/lib/ld-linux-aarch64.so.1 ;;
armv7l | armv8l) target=linux-armv7l loader=/lib/ld-linux-armhf.so.3 ;;
*) fail "no gwe is made for '$machine', expected x86_64, aarch64 or armv7l" ;;
esac
# A 64-bit kernel may run a 32-bit system.
if [ "$machine" = aarch64 ] && [ ! -e "$loader" ] && [ -e /lib/ld-linux-armhf.so.3 ]; then
	target=linux-armv7l loader=/lib/ld-linux-armhf.so.3
fi
executable=$here/gwe-$target
[ -f "$executable" ] || executable=$here/gwe
[ -f "$executable" ] || fail "there is no gwe-$target and no gwe beside it in '$here'"

require_own "$executable"

# Its libraries, each with the Debian package that brings it.
missing=
version=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //') || version=
[ -n "$version" ] || version=$(ldd --version 2>&1 | sed -n '1s/.* \([0-9][0-9.]*\)$/\1/p') || version=
[ -e "$loader" ] || missing="$missing libc6"
case $version in
'') ;;
1.* | 2.[0-9] | 2.[0-9].* | 2.1[0-9]* | 2.2[0-7]*)
	fail "glibc is $version, expected 2.28 or later: update the system (Debian 10 or later; package libc6)"
	;;
esac
find_library() {
	for directory in /lib /usr/lib /usr/local/lib /lib64 /usr/lib64 /lib/*-linux-* /usr/lib/*-linux-*; do
		[ -e "$directory/$1" ] && return 0
	done
	return 1
}
find_library libstdc++.so.6 || missing="$missing libstdc++6"
if [ "$target" = linux-armv7l ]; then
	find_library libatomic.so.1 || missing="$missing libatomic1"
fi
[ -z "$missing" ] || fail "libraries are missing: apt-get install$missing"

# gwe itself copies the executable, whole or not at all, and keeps the configuration that is there.
chmod 755 "$executable" || fail "cannot make '$executable' executable"
answer=$("$executable" --self-test 2>&1) || fail "'$executable' does not run here: $answer"
[ "$answer" = ok ] || fail "'$executable' is not gwe: it answered '$answer', expected 'ok'"
"$executable" service install "$@"

case " $* " in *' --dry-run '*) exit 0 ;; esac
if [ ! -d "$here/apps_to_install" ]; then
	echo "no apps_to_install beside install.sh: no apps to install"
	exit 0
fi
require_own "$here/apps_to_install"
set --
for tarball in "$here"/apps_to_install/*.tar.gz; do
	[ -f "$tarball" ] || continue
	require_own "$tarball"
	set -- "$@" "$tarball"
done
[ $# -gt 0 ] || { echo "apps_to_install is empty: no apps to install" && exit 0; }
"$executable" --install-apps "$@"
