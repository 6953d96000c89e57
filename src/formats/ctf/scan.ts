import { type Rows, rowAt, rowCpu, rowPid, rowSize, rowTid, rowType } from '../../trace/rows.ts';
import { hashFactor, hashStart, type NamesSeen } from '../names-seen.ts';

/*
 * The hot path of CTF: events that begin and end with whole bytes, as nearly all recorders write them, to rows. Nothing is decoded of an
 * event but its class, its time and whose it is. Whatever is not so is left to stream.ts, which goes over it field by field.
 */

/** Instead of a type: what stream.ts has to look at, and what nobody wants. */
export const unresolved = -2;
export const unwanted = -1;
/** Instead of a place: what an event lacks. */
export const lacking = -1;

/** An integer of at most 32 bits in the word of 32 that begins with a byte. */
export type WordPart = { at: number; shift: number; mask: number };
/** A form of header, in bytes: its size, what tells the event's class and time; `high` and `idHigh` are where the upper halves stand of those of 64 bits. */
export type HeaderForm = {
  size: number;
  id: WordPart;
  idHigh: number | undefined;
  low: WordPart;
  high: number | undefined;
};

/** What follows each other in an event: so many bytes; a text up to a NUL; such a text that is the thread's name; a length of so many bytes; as many elements of so many bytes. */
export type Step =
  | { kind: 'bytes'; size: number }
  | { kind: 'text' }
  | { kind: 'name' }
  | { kind: 'length'; size: number }
  | { kind: 'elements'; size: number };

/** A class of events: its type, what is in an event behind the header, and how far behind it stands whose it is. */
export type ScannedKind = {
  code: number;
  steps: readonly Step[];
  tid: number;
  pid: number;
  cpu: number;
  /** Where the thread's name stands, and the most bytes that it has; 0 for none, -1 where a step tells. */
  name: number;
  nameSize: number;
};

// The words of a form of header.
const headerWords = 10;
const headerSize = 0;
/** Bytes that have to be at hand to read it. */
const headerReach = 1;
const idAt = 2;
const idShift = 3;
const idMask = 4;
const lowAt = 5;
const lowShift = 6;
const lowMask = 7;
const highAt = 8;
const idHighAt = 9;

// The words of a class, and those of what follows each other in its events where their size is not always the same.
const kindWords = 8;
const kindCode = 0;
const kindSize = 1;
const kindSteps = 2;
const kindTid = 3;
const kindPid = 4;
const kindCpu = 5;
const kindName = 6;
const kindNameSize = 7;
const stepKinds: readonly Step['kind'][] = ['bytes', 'text', 'name', 'length', 'elements'];
const skipBytes = 0;
const skipText = 1;
const skipName = 2;
const takeLength = 3;
const skipElements = 4;
const noStep = 5;

/** Classes with higher numbers are left to stream.ts. */
const mostKinds = 1 << 12;

/** How the events of a stream lie. */
export class ByteShape {
  readonly little: boolean;
  /** The forms of header. Where there are two, this tag tells the second. */
  readonly header: Int32Array;
  readonly tag: WordPart;
  readonly secondTag: number;
  kinds = new Int32Array(0);
  steps = new Int32Array(0);

  constructor(little: boolean, forms: readonly HeaderForm[], tag: WordPart | undefined, secondTag: number) {
    this.little = little;
    this.header = new Int32Array(
      forms.flatMap(({ size, id, idHigh, low, high }) => {
        const reach = Math.max(size, id.at + 4, low.at + 4);
        return [size, reach, id.at, id.shift, id.mask, low.at, low.shift, low.mask, high ?? lacking, idHigh ?? lacking];
      }),
    );
    this.tag = tag ?? { at: 0, shift: 0, mask: 0 };
    this.secondTag = tag === undefined ? -1 : secondTag;
  }

  /** From now on events of this class are scanned. */
  add(id: number, { code, steps, tid, pid, cpu, name, nameSize }: ScannedKind): void {
    if (id >= mostKinds) return;
    const at = id * kindWords;
    if (at >= this.kinds.length) {
      const known = this.kinds;
      this.kinds = new Int32Array((id + 16) * kindWords).fill(unresolved);
      this.kinds.set(known);
    }
    const fixed = steps.every(({ kind }) => kind === 'bytes');
    const size = fixed ? steps.reduce((sum, step) => sum + ('size' in step ? step.size : 0), 0) : -1;
    this.kinds.set([code, size, this.steps.length, tid, pid, cpu, name, nameSize], at);
    if (fixed) return;
    const words = steps.flatMap((step) => [stepKinds.indexOf(step.kind), 'size' in step ? step.size : 0]);
    this.steps = Int32Array.from([...this.steps, ...words, noStep, 0]);
  }
}

/** How far a stream was scanned. All are doubles from the beginning on: what was compiled for other numbers would have to be compiled again. */
export class ScanState {
  /** The clock's value at the latest event, in halves; and the one that times count from. */
  low = Number.NaN;
  high = Number.NaN;
  originLow = Number.NaN;
  originHigh = Number.NaN;
  /** Time of the event before, and the latest of the packet. */
  last = Number.NEGATIVE_INFINITY;
  latest = Number.NEGATIVE_INFINITY;
}

/** Events of a packet are in order of time: where it goes back by more than this (1 s), the bytes are no events. */
export const farBack = 1_000_000_000;
const two32 = 2 ** 32;

/** What to scan: the bytes from `pos` to `end`, for so many events at the most. Their rows are added to `rows` from `count` on. */
export type ScanRange = {
  bytes: Uint8Array;
  view: DataView;
  pos: number;
  end: number;
  most: number;
  rows: Rows;
  count: number;
};

/**
 * Scans events as long as they are of classes that the shape knows, in order of time, whole, and their threads' names are known; and as
 * there is room for rows. `cpu` is the one that all are of, -1 where each says, and `pid` is the process of those that do not say.
 */
export function scanEvents(
  shape: ByteShape,
  range: ScanRange,
  state: ScanState,
  { hashes, since }: NamesSeen,
  cpu: number,
  pid: number,
): void {
  const { little, header, kinds, steps, secondTag } = shape;
  const { at: tagAt, shift: tagShift, mask: tagMask } = shape.tag;
  const { bytes, view, end } = range;
  const { times, words, capacity } = range.rows;
  const { originLow, originHigh, latest } = state;
  let { pos, count: n, most } = range;
  let { low, high, last } = state;
  const earliest = Math.max(latest - farBack, -Number.MAX_SAFE_INTEGER);
  while (most > 0 && n < capacity && pos + (header[headerReach] as number) <= end) {
    let form = 0;
    if (((view.getUint32(pos + tagAt, little) >>> tagShift) & tagMask) === secondTag) {
      form = headerWords;
      if (pos + (header[form + headerReach] as number) > end) break;
    }
    const idWord = view.getUint32(pos + (header[form + idAt] as number), little);
    const kind = ((idWord >>> (header[form + idShift] as number)) & (header[form + idMask] as number)) * kindWords;
    if (kind < 0 || kind >= kinds.length) break;
    const upperId = header[form + idHighAt] as number;
    if (upperId >= 0 && view.getUint32(pos + upperId, little) !== 0) break;
    const code = kinds[kind + kindCode] as number;
    if (code === unresolved) break;

    const begin = pos + (header[form + headerSize] as number);
    let next = begin + (kinds[kind + kindSize] as number);
    let hash = hashStart;
    if (next < begin) {
      next = begin;
      let length = 0;
      for (let step = kinds[kind + kindSteps] as number; next <= end; step += 2) {
        const what = steps[step] as number;
        const size = steps[step + 1] as number;
        if (what === skipBytes) next += size;
        else if (what === skipText) {
          while (next < end && bytes[next] !== 0) next++;
          next++;
        } else if (what === skipName) {
          for (; next < end && bytes[next] !== 0; next++) hash = Math.imul(hash ^ (bytes[next] as number), hashFactor);
          next++;
        } else if (what === takeLength) {
          if (next + size > end) length = 0;
          else if (size === 4) length = view.getUint32(next, little);
          else length = size === 2 ? view.getUint16(next, little) : view.getUint8(next);
          next += size;
        } else if (what === skipElements) next += length * size;
        else break;
      }
    }
    if (next > end) break;

    let nowLow = view.getUint32(pos + (header[form + lowAt] as number), little);
    let nowHigh = high;
    const upper = header[form + highAt] as number;
    if (upper >= 0) nowHigh = view.getUint32(pos + upper, little);
    else {
      // The next time that ends so.
      const mask = header[form + lowMask] as number;
      nowLow = low + ((((nowLow >>> (header[form + lowShift] as number)) - (low | 0)) & mask) >>> 0);
      if (nowLow >= two32) {
        nowLow -= two32;
        nowHigh++;
      }
    }
    const time = (nowHigh - originHigh) * two32 + (nowLow - originLow);
    if (time < last || time < earliest || time > Number.MAX_SAFE_INTEGER) break;
    if (code !== unwanted) {
      const tidAt = kinds[kind + kindTid] as number;
      const tid = tidAt < 0 ? -1 : view.getInt32(begin + tidAt, little);
      const nameSize = kinds[kind + kindNameSize] as number;
      if (nameSize !== 0) {
        if (nameSize > 0) {
          const from = begin + (kinds[kind + kindName] as number);
          for (let p = from; p < from + nameSize && bytes[p] !== 0; p++)
            hash = Math.imul(hash ^ (bytes[p] as number), hashFactor);
        }
        if (tid >>> 0 >= hashes.length) break;
        if (time < (since[tid] as number) || (hashes[tid] !== hash && (tid !== 0 || hashes[0] === 0))) break;
      }
      const pidAt = kinds[kind + kindPid] as number;
      const cpuAt = kinds[kind + kindCpu] as number;
      const row = n++ * 8;
      times[row >> 1] = time;
      words[row + rowType] = code;
      words[row + rowCpu] = cpu >= 0 || cpuAt < 0 ? cpu : view.getInt32(begin + cpuAt, little);
      words[row + rowTid] = tid;
      words[row + rowPid] = pidAt < 0 ? pid : view.getInt32(begin + pidAt, little);
      words[row + rowAt] = begin;
      words[row + rowSize] = next - begin;
    }
    most--;
    low = nowLow;
    high = nowHigh;
    last = time;
    pos = next;
  }
  range.pos = pos;
  range.count = n;
  range.most = most;
  state.low = low;
  state.high = high;
  state.last = last;
  if (last > latest) state.latest = last;
}
