#!/bin/sh
# npm test: all tests, or the files given.
here=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
page=yes
. "$here/scripts/ready.sh"
cd "$here" || exit 1
# Tests that start a node of their own get this one.
PATH="$here/node_modules/.bin:$PATH"
export PATH
[ $# -gt 0 ] || set -- 'src/**/*.test.ts' 'web/**/*.test.ts' 'test/**/*.test.ts' 'bench/**/*.test.ts'
exec "$node" --test "$@"
