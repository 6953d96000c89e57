// The first file of the executable (scripts/binary.ts), which runs the rest: one bundle, with what V8 compiled of it when the executable was
// made; that puts `v8Flags` before it. While that is made it is called with the bundle, a file for what is compiled, the clone, and the arguments of a run to compile for.
const { readFileSync, writeFileSync } = require('node:fs');
const sea = require('node:sea');
const v8 = require('node:v8');
const vm = require('node:vm');

const [bundle, compiled, clone] = sea.isSea() ? [] : process.argv.splice(2, 3);
v8.setFlagsFromString(v8Flags.always);
v8.setFlagsFromString(v8Flags.start);
(function wait() {
  const { user, system } = process.cpuUsage();
  const left = v8Flags.after - (user + system) / 1000;
  if (left > 0) setTimeout(wait, left).unref();
  else v8.setFlagsFromString(v8Flags.later);
})();
const begin = '(function (require, module, __filename) {';
const script = new vm.Script(
  `${begin}${bundle === undefined ? sea.getAsset('dist/executable.js', 'utf8') : readFileSync(bundle, 'utf8')}\n})`,
  {
    filename: process.execPath,
    // Columns are those of the bundle, as its source map has them.
    columnOffset: -begin.length,
    cachedData: bundle === undefined ? compiledFor(process.argv[2]) : undefined,
  },
);
if (compiled !== undefined) {
  process.on('exit', () => {
    v8.setFlagsFromString(v8Flags.start);
    writeFileSync(compiled, script.createCachedData());
  });
}
// The script itself can import nothing.
globalThis[Symbol.for('virtap.import')] = (url) => import(url);
script.runInThisContext()(require, { exports: {} }, clone === undefined ? __filename : `${clone}/dist/executable.js`);

/** What was compiled for a command; undefined where nothing was: it is of no use to a machine of another kind than where it is made. */
function compiledFor(command) {
  for (const name of [command, 'none']) {
    try {
      return new Uint8Array(sea.getRawAsset(`compiled/${name}`));
    } catch {
      // There is none of that name.
    }
  }
}
