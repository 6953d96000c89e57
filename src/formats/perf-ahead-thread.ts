/* The thread that reads ahead: see perf-ahead.ts. It imports little: that is what its start takes. */
import { readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { Rows } from '../trace/rows.ts';
import { done, given, job, jobs, longestRecord, type Order, ready, type Shared } from './perf-ahead.ts';
import { finishedRound, firstOfPerf, lost, maxCpus, type SampleShape, ScanOutput, scanSamples } from './perf-scan.ts';

/** Bytes read at a time: such that they are still in the cache when they are scanned. */
const readSize = 512 << 10;

const { arena, control, stops, newest, rows, segments } = workerData as Shared;
const payloads = new Int32Array(arena.buffer);
/** By CPU: the time of the latest sample that nobody wants. */
const passed = new Float64Array(maxCpus).fill(Number.NEGATIVE_INFINITY);
const outputs = rows.map((buffer) => new ScanOutput(new Rows(buffer), payloads, passed));
const view = new DataView(arena.buffer);

/** What was read of the file: bytes `pos` to `end` are still to be scanned. Before `readSize` bytes there is room for the rest of a record. */
const bytes = new Uint8Array(longestRecord + readSize);
const records = new Int32Array(bytes.buffer);
let pos = longestRecord;
let end = longestRecord;
/** Time of the latest sample so far that nobody wants. */
let latest = Number.NEGATIVE_INFINITY;
/** Offset in the file of what follows. */
let offset = 0;

parentPort?.once('message', read);
Atomics.store(control, ready, 1);
Atomics.notify(control, ready);

function read({ file, from, to, shape }: Order): void {
  offset = from;
  for (let number = 0; ; number = (number + 1) % jobs) {
    const at = number * job.size;
    for (let state = 0; ; Atomics.wait(control, at + job.state, state)) {
      state = Atomics.load(control, at + job.state);
      if (state === given) break;
    }
    const more = fill(number, file, to, shape);
    control[at + job.more] = more ? 1 : 0;
    stops[number] = offset - (end - pos);
    newest[number] = latest;
    Atomics.store(control, at + job.state, done);
    Atomics.notify(control, at + job.state);
    if (!more) return;
  }
}

/** Reads and scans until the output of a job is full. False where it ended before. */
function fill(number: number, file: number, to: number, shape: SampleShape): boolean {
  const out = outputs[number] as ScanOutput;
  const ends = segments[number] as Int32Array;
  const start = (control[number * job.size + job.slot] as number) * (arena.slotSize + arena.headroom);
  out.count = 0;
  out.at = start >> 2;
  out.limit = (start + arena.slotSize + arena.headroom - longestRecord) >> 2;
  let n = 0;
  let known = true;
  while (!out.full) {
    const before = out.count;
    pos = scanSamples(shape, records, pos, end, out);
    if (out.count > before) {
      ends[n++] = out.count;
      ends[n++] = -1;
      continue;
    }
    const length = pos + 8 <= end ? (records[(pos >> 2) + 1] as number) >>> 16 : 8;
    if (pos + length > end) {
      if (readMore(file, to)) continue;
      known = false;
      break;
    }
    const type = records[pos >> 2] as number;
    // What else there is may change how samples are to be read.
    known = length >= 8 && (length & 7) === 0 && type >= 0 && (type < firstOfPerf || type === finishedRound);
    if (!known) break;
    ends[n++] = out.count;
    ends[n++] = out.at << 2;
    payloads.set(records.subarray(pos >> 2, (pos + length) >> 2), out.at);
    out.at += length >> 2;
    pos += length;
    if (type !== lost) continue;
    const cpu = shape.trailerCpu > 0 ? (records[(pos - shape.trailerCpu) >> 2] as number) : -1;
    view.setFloat64(out.at << 2, passed[cpu] ?? Number.NEGATIVE_INFINITY, true);
    out.at += 2;
  }
  latest = Math.max(latest, out.newest);
  control[number * job.size + job.segments] = n / 2;
  return known;
}

/** False at the end of the records, and where they cannot be read. */
function readMore(file: number, to: number): boolean {
  const start = longestRecord - (end - pos);
  bytes.copyWithin(start, pos, end);
  pos = start;
  end = longestRecord;
  try {
    end += readSync(file, bytes, end, Math.min(readSize, to - offset), offset);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === undefined) throw error;
    // The other thread comes to the same error, and tells of it.
  }
  offset += end - longestRecord;
  // Records begin at multiples of 8 bytes.
  return end > longestRecord && (pos & 7) === 0;
}
