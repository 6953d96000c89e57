import { TraceError } from '../trace/error.ts';
import type { ByteCursor } from './byte-cursor.ts';
import { type BufferOption, type CpuData, sectionHeader, sectionId } from './trace-dat-options.ts';
import type { PageLayout } from './tracing-data.ts';

/*
 * A trace.dat v7 whose end is missing lacks the table of its CPUs' data, which is written last. The data stand in order of
 * the CPUs, each beginning on a page boundary, so that they can be found all the same.
 */

const compressedFlag = 1;

/**
 * Looks for the data of CPUs from the section at `offset` on. Undefined where there are none. The numbers of the CPUs
 * are guessed: those without events leave no trace.
 */
export function salvageBuffer(
  cursor: ByteCursor,
  offset: number,
  pageSize: number,
  page: PageLayout,
): (BufferOption & { compressed: boolean }) | undefined {
  try {
    cursor.offset = offset;
    for (;;) {
      const start = cursor.offset;
      const id = cursor.u16('a section');
      const compressed = (cursor.u16('the flags of a section') & compressedFlag) !== 0;
      cursor.skip(4, 'the description of a section');
      const size = cursor.u64('the size of a section');
      if (id !== sectionId.buffer) {
        cursor.skip(size, 'a section');
        continue;
      }
      const first = alignUp(start + sectionHeader, pageSize);
      const end = Math.min(cursor.end, start + sectionHeader + size);
      const cpus = compressed
        ? packedCpus(cursor, first, end, pageSize)
        : plainCpus(cursor, first, end, pageSize, page);
      return { offset: start, name: '', clock: '', pageSize, cpus, latency: false, compressed };
    }
  } catch (error) {
    if (error instanceof TraceError) return undefined;
    throw error;
  }
}

/** Each CPU's chunks say where they end. */
function packedCpus(cursor: ByteCursor, first: number, end: number, pageSize: number): CpuData[] {
  const cpus: CpuData[] = [];
  for (let start = first; start + 4 <= end; start = alignUp(cursor.offset, pageSize)) {
    cursor.offset = start;
    let chunks = cursor.u32('the number of chunks');
    if (chunks === 0) break;
    while (chunks > 0 && cursor.left >= 8) {
      const packed = cursor.u32('the size of a chunk');
      cursor.skip(Math.min(packed + 4, cursor.left), 'a chunk');
      chunks--;
    }
    cpus.push({ cpu: cpus.length, offset: start, size: cursor.offset - start });
    if (chunks > 0) break;
  }
  return cpus;
}

/** Pages of one CPU are in time order, so that a step back is the next CPU's beginning. */
function plainCpus(cursor: ByteCursor, first: number, end: number, pageSize: number, page: PageLayout): CpuData[] {
  const cpus: CpuData[] = [];
  let last = -1n;
  for (let start = first; start + page.dataOffset <= end; start += pageSize) {
    cursor.offset = start;
    const stamp = cursor.bigint('a page');
    if (stamp === 0n) break;
    const current = cpus.at(-1);
    if (current === undefined || stamp < last) cpus.push({ cpu: cpus.length, offset: start, size: pageSize });
    else current.size += pageSize;
    last = stamp;
  }
  return cpus;
}

function alignUp(offset: number, pageSize: number): number {
  return Math.ceil(offset / pageSize) * pageSize;
}
