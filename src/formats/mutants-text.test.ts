import { gunzipSync } from 'node:zlib';
import { endWell, file } from '../../test/mutants.ts';

endWell({
  'ftrace text': () => gunzipSync(file('ftrace-text/report-kernel.txt.gz')).subarray(0, 6 << 10),
  'ftrace text with losses': () => gunzipSync(file('ftrace-text/trace-overrun.txt.gz')).subarray(0, 6 << 10),
  'perf script text': () => gunzipSync(file('perf-script/lost.txt.gz')).subarray(0, 6 << 10),
  'kernel text without times': () => Buffer.concat(Array(20).fill(file('pasted/no-times.txt'))),
  'wrapped text': () => file('pasted/wrapped-in-args.txt'),
});
