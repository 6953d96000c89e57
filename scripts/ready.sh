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

# The page of reports, which Vite builds from web/ and what that uses of src/: for who asks for it with `page=yes`.
built="$here/dist/web/page.js"
if [ "${page-}" = yes ] && { [ ! -e "$built" ] || [ -n "$(find "$here/web" "$here/src/report" "$here/src/views" -newer "$built" -print -quit)" ]; }; then
  if ! (cd "$here" && PATH="$here/node_modules/.bin:$PATH" "$node" node_modules/vite/bin/vite.js build web >&2); then
    echo 'virtap: the page could not be built; nothing was run' >&2
    exit 1
  fi
fi
