import { zstdDecompressSync } from 'node:zlib';
import { endWell, file } from '../../test/mutants.ts';

endWell({
  'trace.dat v6': () => zstdDecompressSync(file('trace-dat/lost-v6.dat.zst')),
  'trace.dat v7': () => file('trace-dat/lost-v7.dat'),
  'trace.dat v7 with probes': () => file('trace-dat/usdt-v7.dat'),
  'perf.data': () => file('mutants/plain.data'),
  'perf.data, -z': () => file('mutants/compressed.data'),
  'perf.data from a pipe, -z': () => file('mutants/pipe.data'),
});
