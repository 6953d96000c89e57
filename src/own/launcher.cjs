// What starts virtap from its bundles; scripts/bundle.ts puts the check of Node.js' version and `v8Flag` before it. In the JavaScript of old, as every
// Node.js must get as far as that check.
var fs = require('fs');
var nodeModule = require('module');
var os = require('os');
var path = require('path');

require('v8').setFlagsFromString(v8Flag);

/**
 * Keeps compiled code for the next start, apart for each command: V8 keeps what the first run used, and commands use different parts of what they
 * share. Only where nobody but the user could have put it, as what is read there is run.
 */
function keepCompiled(command) {
  var folder = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  var above = fs.statSync(fs.existsSync(folder) ? folder : path.dirname(folder));
  var othersWrite = (above.mode & 18) !== 0;
  if (above.uid === process.getuid() && !othersWrite) {
    nodeModule.enableCompileCache(path.join(folder, 'virtap', 'code', command));
  }
}

try {
  keepCompiled(/^[a-z]+$/.test(process.argv[2]) ? process.argv[2] : 'none');
} catch (error) {
  // Then it is compiled each time.
}
require('./main.js').main(process.argv.slice(2));
