#!/bin/sh
# npm run fuzz: mutants of recordings, given to every command, for a set time.
here=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
. "$here/scripts/ready.sh"
exec "$node" "$here/test/fuzz/main.ts" "$@"
