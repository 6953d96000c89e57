#!/bin/sh
# npm pack: builds dist/ afresh.
here=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
. "$here/scripts/ready.sh"
cd "$here" && rm -rf dist && node_modules/.bin/tsc -p tsconfig.build.json && "$node" scripts/bundle.ts &&
  PATH="$here/node_modules/.bin:$PATH" "$node" node_modules/vite/bin/vite.js build web
