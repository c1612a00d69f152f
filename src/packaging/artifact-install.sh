#!/bin/sh
# In gwe's own tarball: an executable of another kind of machine, or without its libraries, fails here and is not taken.
set -eu
chmod 755 gwe
./gwe --version
# The original Gateway Engine runs this as an app of its own: gwe takes its place, and is started once it has reported.
if [ -z "${GWE_APP_NAME:-}" ]; then
	./gwe adopt --keep-running
	launcher=${GWE_ROOT:-}/usr/local/bin/gwe
	if [ -x "$launcher" ] && command -v setsid >/dev/null; then
		# shellcheck disable=SC2016
		setsid sh -c 'sleep "$2"; exec "$1" adopt' gwe "$launcher" "${GWE_ADOPT_DELAY:-30}" </dev/null >/dev/null 2>&1 &
	fi
fi
