import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { amid, endWell, file } from '../../test/mutants.ts';

endWell({
  'trace.dat v6': () => zstdDecompressSync(file('trace-dat/lost-v6.dat.zst')),
  'trace.dat v7': () => file('trace-dat/lost-v7.dat'),
  'trace.dat v7 with probes': () => file('trace-dat/usdt-v7.dat'),
  'perf.data': () => file('mutants/plain.data'),
  'perf.data, -z': () => file('mutants/compressed.data'),
  'perf.data from a pipe, -z': () => file('mutants/pipe.data'),
});

// A folder with one CPU's pages, of which a part is damaged: the pages themselves, or what describes them.
const folder = join(import.meta.dirname, '../../test/data/raw-pages/4k');
for (const [name, part] of Object.entries({
  trace_pipe_raw: 'per_cpu/cpu1/trace_pipe_raw',
  'trace_pipe_raw, a format': 'events/sched/sched_switch/format',
  'trace_pipe_raw, header_page': 'events/header_page',
}))
  endWell({ [name]: () => file(`raw-pages/4k/${part}`) }, amid(folder, part));
