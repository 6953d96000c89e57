#!/bin/sh
# npm run binary: virtap and the Node.js that the clone pins as one executable file, in binary/. `--arch arm64` makes one for that.
here=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
page=yes
. "$here/scripts/ready.sh"
# postject is fetched when it is asked for: nothing else needs it.
cd "$here" && exec npm exec --yes --package=postject@1.0.0-alpha.6 -- "$node" scripts/binary.ts "$@"
