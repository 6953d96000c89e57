import { grown } from '../trace/grown.ts';

/** Ids of threads beyond Linux' largest (PID_MAX_LIMIT) are not remembered. */
const maxId = 1 << 22;

/** FNV-1a, as `scanEvents` computes it too. */
export const hashStart = 0x811c9dc5 | 0;
export const hashFactor = 0x01000193;

/**
 * What threads were called when they were last seen, by their ids: a number made of the name (0 for none), and since when. Streams are not
 * read in step: what is earlier than the time known is news again.
 */
export class NamesSeen {
  hashes = new Int32Array(4096);
  since = new Float64Array(4096);

  /** Makes all times count from a moment that is `by` later. */
  rebase(by: number): void {
    for (let tid = 0; tid < this.since.length; tid++) this.since[tid] = (this.since[tid] as number) - by;
  }

  /** Another thread has the id: whatever it is called is news. */
  forget(tid: number): void {
    if (tid < this.hashes.length) this.hashes[tid] = 0;
  }

  /** Takes note of a name, the bytes up to a NUL or to `end`; whether it is news. CPUs' idle threads share the id 0, of which the first name stays. */
  see(tid: number, time: number, bytes: Uint8Array, at: number, end: number): boolean {
    if (tid < 0) return false;
    if (tid > maxId) return true;
    let hash = hashStart;
    for (let p = at; p < end && bytes[p] !== 0; p++) hash = Math.imul(hash ^ (bytes[p] as number), hashFactor);
    if (tid >= this.hashes.length) {
      const room = 2 ** Math.ceil(Math.log2(tid + 1));
      this.hashes = grown(this.hashes, 0, room);
      this.since = grown(this.since, 0, room);
    }
    const known = this.hashes[tid] as number;
    if ((known === hash || (tid === 0 && known !== 0)) && time >= (this.since[tid] as number)) return false;
    this.hashes[tid] = hash;
    this.since[tid] = time;
    return true;
  }
}
