#!/bin/sh
# npm run check: types, lint, and what is not used, as CI does.
here=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
. "$here/scripts/ready.sh"
cd "$here" && node_modules/.bin/tsc && node_modules/.bin/tsc -p web && node_modules/.bin/biome ci && node_modules/.bin/knip --no-progress
