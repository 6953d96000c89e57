import type { Arena } from '../trace/arena.ts';
import { number64, type PerfAttr } from './perf-header.ts';

/** Bits of read_format (perf_event.h). */
const totalTimeEnabled = 1;
const totalTimeRunning = 2;
const readId = 4;
const readGroup = 8;
const readLost = 16;

/** Where the parts of a sample lie whose sizes the sample itself tells. */
export class SampleParts {
  payload = 0;
  payloadSize = 0;
  /** How many addresses the call chain has, -1 where there is none; they stand at `#chain`. */
  frames = -1;
  #chain = 0;

  /** Finds them in the sample at `pos`. Gives how many bytes it must have for that: where it has fewer, nothing here is sure. */
  find(attr: PerfAttr, view: DataView, pos: number, length: number, little: boolean): number {
    let rest = attr.restAt;
    if (rest > length) return rest;
    if (attr.hasRead) rest += readSize(attr.readFormat, view, pos + rest, pos + length, little);
    this.frames = -1;
    if (attr.hasCallchain && rest + 8 <= length) {
      this.frames = number64(view, pos + rest, little);
      rest += 8;
      this.#chain = pos + rest;
      rest += 8 * this.frames;
    }
    let size = 0;
    if (attr.hasRaw) {
      if (rest + 4 <= length) size = view.getUint32(pos + rest, little);
      rest += 4;
    }
    this.payload = pos + rest;
    this.payloadSize = size;
    return rest + size;
  }

  /** Puts the call chain, and how many addresses it has, behind the payload, which goes to where the chain's length stood. */
  putChainBehind({ bytes, view }: Arena, little: boolean): void {
    const chain = this.#chain;
    const to = chain - 8;
    const addresses = bytes.slice(chain, chain + 8 * this.frames);
    bytes.copyWithin(to, this.payload, this.payload + this.payloadSize);
    bytes.set(addresses, to + this.payloadSize);
    this.payload = to;
    this.payloadSize += addresses.length;
    view.setUint32(to + this.payloadSize, this.frames, little);
    this.payloadSize += 4;
  }
}

/** Size of the values that PERF_SAMPLE_READ put into a sample (perf_event.h, struct read_format). */
function readSize(format: number, view: DataView, at: number, end: number, little: boolean): number {
  const times = (format & totalTimeEnabled ? 8 : 0) + (format & totalTimeRunning ? 8 : 0);
  const each = 8 + (format & readId ? 8 : 0) + (format & readLost ? 8 : 0);
  if ((format & readGroup) === 0) return times + each;
  return at + 8 <= end ? 8 + times + each * number64(view, at, little) : 0;
}
