import { TraceError } from '../trace/error.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import type { Format } from './format.ts';
import { asTraceError, type Input } from './input.ts';
import type { RandomFile } from './random-file.ts';
import type { PageShape } from './ring-buffer.ts';
import type { RingBufferStretch } from './ring-buffer-stretch.ts';
import { RingBufferTrace } from './ring-buffer-trace.ts';
import { clockOf, companionsOf, notesOf } from './trace-dat-facts.ts';
import { readHeader, type TraceDatBuffer, type TraceDatHeader } from './trace-dat-header.ts';
import type { CpuData } from './trace-dat-options.ts';
import { PackedPages, PlainPages } from './trace-dat-pages.ts';
import { Signatures } from './trace-events.ts';
import { hasTracingMagic } from './tracing-data.ts';

/** trace-cmd's trace.dat, versions 6 and 7. */
export const traceDat: Format = {
  name: 'trace.dat',
  recognise: hasTracingMagic,
  async open(input, options) {
    const { file, size, broken } = await input.random();
    try {
      const header = readHeader(file, size, input.name, input.meter);
      const signatures = new Signatures(input.path, options);
      const stretch = options.stretch as RingBufferStretch | undefined;
      return openBuffers(input, file, size, header, broken, signatures, stretch);
    } catch (error) {
      // Where the compression around the file is broken, that is why the header is cut.
      const why = asTraceError(input.name, error);
      throw broken ?? why;
    }
  },
};

function openBuffers(
  input: Input,
  file: RandomFile,
  size: number,
  header: TraceDatHeader,
  broken: TraceError | undefined,
  signatures: Signatures,
  stretch: RingBufferStretch | undefined,
): Trace {
  const { options, page, little } = header;
  const [, host = '', release = ''] = options.uname.split(' ');
  const clock = clockOf(header, header.buffers[0]);
  const notes = notesOf(header);
  // Those are read that are on the same clock as the first.
  const buffers = header.buffers.filter((buffer) => {
    const own = clockOf(header, buffer).name;
    if (own === clock.name) return true;
    notes.push(`The buffer "${buffer.name}" is left out: its clock is ${own}, not ${clock.name}.`);
    return false;
  });
  const cpus = options.cpus ?? header.buffers[0]?.cpus.length;
  const unplaced: Loss[] = [];
  let damage = broken ?? header.damage;
  const damaged = (error: TraceError, cpu: number) => {
    damage ??= error;
    unplaced.push({ from: -Infinity, to: Infinity, cpu, count: undefined });
  };
  for (const buffer of buffers) checkExtent(input.name, buffer, damaged);
  const parts = withoutOverlap(
    input.name,
    buffers.flatMap((buffer) => {
      const shape: PageShape = { little, commitSize: page.commitSize, pageSize: buffer.pageSize };
      return buffer.cpus.filter((data) => data.size > 0).map((data) => ({ buffer, shape, data }));
    }),
    damaged,
  ).map((part, i) => ({ ...part, data: { ...part.data, ...stretch?.pages[i] } }));
  // CPUs whose data are missing with the end of the file.
  for (let cpu = parts.length; header.salvaged && cpu < (cpus ?? 0); cpu++)
    unplaced.push({ from: -Infinity, to: Infinity, cpu, count: undefined });
  return new RingBufferTrace(
    {
      file: input.name,
      format: 'trace.dat',
      version: header.codec === 'none' ? `v${header.version}` : `v${header.version}, ${header.codec}`,
      clock,
      cpus,
      recordedOn: { host, release },
      companions: companionsOf(header),
      notes,
      formats: header.formats,
      threads: header.comms,
      options,
      unplaced,
      damage,
      signatures,
      stretch,
      size,
      meter: input.meter,
      close: () => input.close(),
    },
    parts.map(({ buffer, shape, data }) => ({
      file: input.name,
      shape,
      buffer: buffer.name,
      cpu: data.cpu,
      packed: buffer.compressed,
      plain: buffer.compressed || !input.seekable ? undefined : { fd: file.fd, data, pageSize: buffer.pageSize },
      open: (window, keep) =>
        buffer.compressed
          ? new PackedPages(file, size, input.name, data, header, buffer.pageSize, window, keep, input)
          : new PlainPages(file, size, input.name, data),
    })),
  );
}

/** Leaves out data that would be read twice: no recorder writes such, and they would make a small file endless. */
function withoutOverlap<T extends { data: CpuData }>(
  file: string,
  parts: T[],
  damaged: (error: TraceError, cpu: number) => void,
): T[] {
  let end = 0;
  return parts
    .toSorted((a, b) => a.data.offset - b.data.offset)
    .filter(({ data }) => {
      if (data.offset >= end) {
        end = data.offset + data.size;
        return true;
      }
      const problem = `the data of CPU ${data.cpu} begin within those of another`;
      damaged(new TraceError(file, problem, data.offset, `data from byte ${end} on`), data.cpu);
      return false;
    });
}

/** Each CPU's data begin on the first page boundary behind those before: what is left out between is damage. */
function checkExtent(
  file: string,
  { cpus, pageSize, end }: TraceDatBuffer,
  damaged: (error: TraceError, cpu: number) => void,
): void {
  const parts = cpus.filter(({ size }) => size > 0).toSorted((a, b) => a.offset - b.offset);
  const ends = [...parts.slice(1).map(({ offset }) => offset), end];
  for (const [i, { cpu, offset, size }] of parts.entries()) {
    const rest = (ends[i] ?? 0) - offset - size;
    if (rest < pageSize) continue;
    const problem = `${rest} bytes behind the data of CPU ${cpu} belong to no CPU`;
    damaged(new TraceError(file, problem, offset + size, `less than a page of ${pageSize} bytes`), -1);
  }
}
