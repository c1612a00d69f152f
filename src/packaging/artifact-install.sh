#!/bin/sh
# In gwe's own tarball: an executable of another kind of machine, or without its libraries, fails here and is not taken.
set -eu
chmod 755 gwe
./gwe --version
