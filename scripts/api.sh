#!/bin/sh
# npm run api: the library's reference as pages, in api/. TypeDoc needs the JavaScript API of TypeScript, which the native compiler that the
# clone pins does not have: both are fetched when they are asked for.
here=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
. "$here/scripts/ready.sh"
cd "$here" && exec npm exec --yes --package=typedoc@0.28.20 --package=typescript@6.0.3 -- typedoc "$@"
