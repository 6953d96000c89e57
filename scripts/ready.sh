# Sourced by ./virtap and the npm scripts, with $here set to the clone's root: installs what the lock file pins, Node
# included, when it has not been or when the lock file is newer. Says so on standard error only.
node="$here/node_modules/.bin/node"
# Not npm ci: it refuses a lock file that lacks the tools of other platforms, which some registries do not carry.
if [ ! -x "$node" ] || [ "$here/package-lock.json" -nt "$here/node_modules/.package-lock.json" ]; then
  echo 'virtap: installing what package-lock.json pins …' >&2
  if ! (cd "$here" && npm install --no-save --loglevel=error >&2); then
    echo 'virtap: npm install failed; nothing was run' >&2
    exit 1
  fi
  touch "$here/node_modules/.package-lock.json"
fi

# Builds what is asked for where it is not there or older than a source: build NAME FILE COMMAND…, with `newer` set to whether it is.
build() {
  what=$1
  shift
  if ! (cd "$here" && PATH="$here/node_modules/.bin:$PATH" "$node" "$@" >&2); then
    echo "virtap: $what could not be built; nothing was run" >&2
    exit 1
  fi
}

# Whether a file is older than one of the others. No find(1): to start it takes longer than to look at all of src/.
older() {
  built=$1
  [ -e "$built" ] || return 0
  shift
  for source; do
    [ ! "$source" -nt "$built" ] || return 0
  done
  return 1
}

# The bundles of the commands and the library: for who asks for them with `bundles=yes`. virtap.js is written last.
if [ "${bundles-}" = yes ] && older "$here/dist/virtap.js" "$here/package-lock.json" "$here/package.json" "$here/scripts/bundle.ts" \
  "$here"/src "$here"/src/*.ts "$here"/src/* "$here"/src/*/*.[tc][sj]* "$here"/src/*/*/*.ts; then
  build 'the commands' scripts/bundle.ts
fi

# The page of reports, which Vite builds from web/ and what that uses of src/: for who asks for it with `page=yes`.
if [ "${page-}" = yes ] && older "$here/dist/web/page.js" "$here"/web/* "$here"/web/src/* "$here"/src/* "$here"/src/*/*.ts "$here"/src/*/*/*.ts; then
  build 'the page' node_modules/vite/bin/vite.js build web
fi
