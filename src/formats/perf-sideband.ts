import type { Arena } from '../trace/arena.ts';
import type { Meter } from '../trace/budget.ts';
import type { NameChanges } from '../trace/name-changes.ts';
import { longestComm } from '../trace/trace.ts';
import type { PerfChains } from './perf-chains.ts';
import { applyFeature, holdAttr, idList, number64, type PerfHeader, parseAttr, recordType } from './perf-header.ts';
import type { PerfTimes } from './perf-times.ts';
import type { PerfTypes } from './perf-types.ts';

/** PERF_RECORD_MISC_COMM_EXEC: the name is that of a program that begins. */
const commExec = 1 << 13;
/** PERF_EVENT_UPDATE__NAME. */
const updatesName = 2;

/** Records of a perf.data that are no samples: of threads and their mappings, and in a pipe what a file has in its header. */
export class PerfSideband {
  readonly #arena: Arena;
  readonly #header: PerfHeader;
  readonly #types: PerfTypes;
  readonly #times: PerfTimes;
  readonly #names: NameChanges;
  readonly #chains: PerfChains;
  readonly #meter: Meter;

  constructor(
    arena: Arena,
    header: PerfHeader,
    types: PerfTypes,
    times: PerfTimes,
    names: NameChanges,
    chains: PerfChains,
    meter: Meter,
  ) {
    this.#arena = arena;
    this.#header = header;
    this.#types = types;
    this.#times = times;
    this.#names = names;
    this.#chains = chains;
    this.#meter = meter;
  }

  /** One record; `offset` is where it stands in the file. */
  take(record: number, pos: number, length: number, offset: number): void {
    const { view, bytes } = this.#arena;
    const { little } = this.#header;
    switch (record) {
      case recordType.comm: {
        if (length < 17) return;
        const name = untilNul(bytes, pos + 16, pos + Math.min(length, 16 + longestComm));
        const pid = view.getInt32(pos + 8, little);
        const tid = view.getInt32(pos + 12, little);
        const exec = (view.getUint16(pos + 4, little) & commExec) !== 0;
        this.#atItsTime(pos, length, (time) => {
          this.#names.name(time, tid, name, pid);
          if (exec) this.#chains.exec(time, pid);
        });
        return;
      }
      case recordType.fork: {
        if (length < 24) return;
        const pid = view.getInt32(pos + 8, little);
        const parentPid = view.getInt32(pos + 12, little);
        const tid = view.getInt32(pos + 16, little);
        const parent = view.getInt32(pos + 20, little);
        this.#atItsTime(pos, length, (time) => {
          this.#names.fork(time, tid, parent, pid);
          if (this.#chained) this.#chains.fork(time, pid, parentPid);
        });
        return;
      }
      case recordType.mmap:
      case recordType.mmap2: {
        const nameAt = record === recordType.mmap ? 40 : 72;
        if (!this.#chained || length < nameAt) return;
        const pid = view.getInt32(pos + 8, little);
        const start = view.getBigUint64(pos + 16, little);
        const size = view.getBigUint64(pos + 24, little);
        const mappedFrom = view.getBigUint64(pos + 32, little);
        const name = untilNul(bytes, pos + nameAt, pos + length);
        this.#atItsTime(pos, length, (time) => this.#chains.map(time, pid, start, size, mappedFrom, name));
        return;
      }
      case recordType.headerAttr: {
        const size = view.getUint32(pos + 12, little);
        if (length < 8 + 64 || size < 64 || 8 + size > length) return;
        if (!holdAttr(this.#meter, length - size - 8, offset)) return;
        const ids = idList(view, pos + 8 + size, pos + length, little);
        this.#header.attrs.push(parseAttr(view, pos + 8, size, little, ids));
        return;
      }
      case recordType.eventUpdate: {
        // {u64 type, u64 id, name}
        this.#types.learn();
        if (length < 25 || number64(view, pos + 8, little) !== updatesName) return;
        const attr = this.#header.attrs[this.#types.attrOf(view, pos + 16)];
        if (attr !== undefined) attr.name = untilNul(bytes, pos + 24, pos + length);
        return;
      }
      case recordType.headerFeature: {
        if (length <= 16) return;
        const feature = view.getUint32(pos + (little ? 8 : 12), little);
        applyFeature(this.#header, feature, new DataView(bytes.buffer, pos + 16, length - 16), little);
        this.#types.tieClock();
        return;
      }
    }
  }

  /** Whether call chains were recorded, so that it counts what processes map. */
  get #chained(): boolean {
    return this.#header.attrs.some(({ hasCallchain }) => hasCallchain);
  }

  /** Gives the time of a record; what perf itself wrote of threads that it found has none, and comes first. */
  #atItsTime(pos: number, length: number, take: (time: number) => void): void {
    const attr = this.#header.attrs[0];
    const at = attr?.sampleIdAll === true && attr.trailerTime > 0 ? pos + length - attr.trailerTime : -1;
    if (at < pos || number64(this.#arena.view, at, this.#header.little) === 0) take(Number.NEGATIVE_INFINITY);
    else this.#times.whenKnown(at, take);
  }
}

/** The text at `start`, up to its NUL or `end`. */
function untilNul(bytes: Uint8Array, start: number, end: number): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
  const nul = text.indexOf(0);
  return text.toString('utf8', 0, nul < 0 ? text.length : nul);
}
