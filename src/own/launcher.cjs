// What starts virtap from its bundles; scripts/bundle.ts puts the check of Node.js' version, `v8Flags` and `build` before it. In JavaScript that
// Node.js 16 reads, too: an old one must get as far as that check.
const fs = require('node:fs');
const Module = require('node:module');
const os = require('node:os');
const path = require('node:path');
const v8 = require('node:v8');
const vm = require('node:vm');

v8.setFlagsFromString(v8Flags.always);
/** Which of the flags are set that change; none where it is not known that V8 has them. */
let phase = process.versions.v8.startsWith(v8Flags.knownTo) ? 'start' : undefined;
function setFlags(phase) {
  if (phase) v8.setFlagsFromString(v8Flags[phase]);
}
setFlags(phase);
/** Goes on with the other flags once the run has taken as long as a short one does: of the processor, which others may use meanwhile. */
function wait() {
  const { user, system } = process.cpuUsage();
  const left = v8Flags.after - (user + system) / 1000;
  if (left > 0) {
    setTimeout(wait, left).unref();
    return;
  }
  phase = 'later';
  setFlags(phase);
}
if (phase) wait();

/**
 * The folder for what V8 compiled, apart for each command, as these use different parts of what they share. Not Node's own cache
 * (module.enableCompileCache), which holds no function that runs later than its file is loaded. Only where nobody but the user could have put it, as
 * what is read there is run; undefined where there is no such place.
 */
function cacheFolder(command) {
  let folder;
  let above;
  try {
    folder = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
    above = fs.statSync(fs.existsSync(folder) ? folder : path.dirname(folder));
    // Writable by others.
    if (above.uid !== process.getuid() || (above.mode & 18) !== 0) return undefined;
    return path.join(folder, 'virtap', 'code', command, `${build}-${process.version}-${process.arch}`);
  } catch {
    return undefined;
  }
}

const cache = cacheFolder(/^[a-z]+$/.test(process.argv[2]) ? process.argv[2] : 'none');
/** The files that were compiled here, as there was nothing of them in the cache. */
const compiled = [];

/** Loads one of the bundles as `require` would, which finds it then. */
function load(file) {
  if (require.cache[file]) return require.cache[file].exports;
  const own = new Module(file, module);
  own.filename = file;
  require.cache[file] = own;
  let cached;
  try {
    if (cache) cached = fs.readFileSync(path.join(cache, path.basename(file)));
  } catch {
    // Not yet.
  }
  setFlags(phase && 'start');
  const script = new vm.Script(Module.wrap(fs.readFileSync(file, 'latin1')), { filename: file, cachedData: cached });
  setFlags(phase);
  if (!cached || script.cachedDataRejected) compiled.push({ name: path.basename(file), script: script });
  const here = path.dirname(file);
  const need = (id) => (id.charAt(0) === '.' ? load(path.join(here, id)) : require(id));
  script.runInThisContext().call(own.exports, own.exports, need, own, file, here);
  own.loaded = true;
  return own.exports;
}

/** Keeps what was compiled, unless the run did little. */
function keep(status) {
  if (!cache || compiled.length === 0 || (status !== 0 && status !== 3) || process.argv.indexOf('--help') > 0) return;
  try {
    setFlags(phase && 'start');
    fs.mkdirSync(cache, { recursive: true, mode: 448 });
    compiled.forEach((one) => {
      const fresh = path.join(cache, `${one.name}.${process.pid}`);
      fs.writeFileSync(fresh, one.script.createCachedData());
      fs.renameSync(fresh, path.join(cache, one.name));
    });
    // Those of earlier builds.
    fs.readdirSync(path.dirname(cache)).forEach((name) => {
      if (name !== path.basename(cache)) fs.rmSync(path.join(path.dirname(cache), name), { recursive: true });
    });
  } catch {
    // Then it is compiled again.
  }
}

process.on('exit', keep);
// What vm compiles can import nothing.
globalThis[Symbol.for('virtap.import')] = (url) => import(url);
load(path.join(__dirname, 'main.js')).main(process.argv.slice(2));
