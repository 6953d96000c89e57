#!/bin/sh
# npm test: all tests, or the files given.
here=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
page=yes
bundles=yes
. "$here/scripts/ready.sh"
cd "$here" || exit 1
# Tests that start a node of their own get this one, which need not compile virtap each time.
PATH="$here/node_modules/.bin:$PATH"
NODE_COMPILE_CACHE="$here/node_modules/.cache/virtap"
export PATH NODE_COMPILE_CACHE
[ $# -gt 0 ] || set -- 'src/**/*.test.ts' 'web/**/*.test.ts' 'test/**/*.test.ts' 'bench/**/*.test.ts'
# More files at a time than cores: those of the live side wait for other programs most of their time.
exec "$node" --test --test-concurrency="$(($(getconf _NPROCESSORS_ONLN) + 2))" \
  --test-reporter=./test/reporter.ts --test-reporter-destination=stdout "$@"
