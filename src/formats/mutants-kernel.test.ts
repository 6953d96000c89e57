import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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

/** A folder with one CPU's pages, of which a part is damaged: the pages themselves, or what describes them. */
const copy = (damaged: string) => (path: string, mutant: Uint8Array) => {
  cpSync(join(import.meta.dirname, '../../test/data/raw-pages/4k'), path, { recursive: true });
  writeFileSync(join(path, damaged), mutant);
};
const part = (name: string) => () => file(`raw-pages/4k/${name}`);

endWell({ trace_pipe_raw: part('per_cpu/cpu1/trace_pipe_raw') }, copy('per_cpu/cpu1/trace_pipe_raw'));
endWell(
  { 'trace_pipe_raw, a format': part('events/sched/sched_switch/format') },
  copy('events/sched/sched_switch/format'),
);
endWell({ 'trace_pipe_raw, header_page': part('events/header_page') }, copy('events/header_page'));
