/*
 * Pages of the kernel's ring buffer on their way into a file. Reading often, so that nothing is lost, gives pages that are
 * mostly empty. Their events go behind those of the page before, with an absolute time stamp between:
 * linux include/linux/ring_buffer.h, RINGBUF_TYPE_TIME_STAMP.
 */

import { commitMask } from '../formats/ring-buffer.ts';

/** `u64` time stamp and `long` commit; on the machine that reads its own buffer the long is 8 bytes. */
const header = 16;
const missedFlag = 0x80000000;
const storedFlag = 0x40000000;
/** An absolute time stamp takes two words. */
const stampSize = 8;
const countSize = 8;

/** Packs one CPU's pages into full ones. Little-endian, as all machines are that virtap records on. */
export class PagePacker {
  readonly pageSize: number;
  /** Events that the buffer says it lost before a page; NaN once it did not say how many. */
  lost = 0;
  readonly #bytes: Buffer;
  readonly #capacity: number;
  /** Full pages at the front of the buffer. */
  #full = 0;
  /** Bytes used in the open page after the full ones, its header included; 0 where none is open. */
  #used = 0;
  /** Lost events before the open page, stored behind its events. */
  #missed: bigint | undefined;

  /** Holds up to `pages` pages. */
  constructor(pageSize: number, pages: number) {
    this.pageSize = pageSize;
    this.#capacity = pages;
    this.#bytes = Buffer.alloc(pages * pageSize);
  }

  /** Whether another page may not fit. */
  get isFull(): boolean {
    return this.#full + 1 >= this.#capacity;
  }

  /** Adds a page as the kernel gave it. Gives the bytes of events in it. */
  add(page: Buffer): number {
    const commit = page.readUInt32LE(8);
    const size = commit & commitMask;
    if (size === 0 || size > this.pageSize - header) return 0;
    const missed = (commit & missedFlag) >>> 0 !== 0;
    const room = this.pageSize - (this.#missed === undefined ? 0 : countSize);
    if (!missed && this.#used > 0 && this.#used + stampSize + size <= room) this.#append(page, size);
    else this.#begin(page, size, missed, commit);
    return size;
  }

  /**
   * The pages so far, the open one completed. They are valid until the next `add`. The open page stays, to
   * be given again when there is more in it.
   */
  pages(): Buffer {
    if (this.#used === 0) return this.#bytes.subarray(0, this.#full * this.pageSize);
    const at = this.#full * this.pageSize;
    const size = this.#used - header;
    let commit = size;
    if (this.#missed !== undefined) {
      commit |= missedFlag;
      if (this.#missed > 0n && this.#used + countSize <= this.pageSize) {
        commit |= storedFlag;
        this.#bytes.writeBigUInt64LE(this.#missed, at + this.#used);
      }
    }
    this.#bytes.writeBigUInt64LE(BigInt(commit >>> 0), at + 8);
    return this.#bytes.subarray(0, at + this.pageSize);
  }

  /** Size of those among the pages that are full, to which nothing will be added. */
  get fullSize(): number {
    return this.#full * this.pageSize;
  }

  /** Forgets the full pages, which were written. */
  dropFull(): void {
    const done = this.fullSize;
    if (this.#used > 0 && done > 0) this.#bytes.copy(this.#bytes, 0, done, done + this.pageSize);
    this.#full = 0;
  }

  #begin(page: Buffer, size: number, missed: boolean, commit: number): void {
    if (this.#used > 0) {
      this.pages();
      this.#full++;
    }
    const at = this.#full * this.pageSize;
    page.copy(this.#bytes, at, 0, header + size);
    this.#bytes.fill(0, at + header + size, at + this.pageSize);
    this.#used = header + size;
    this.#missed = undefined;
    if (!missed) return;
    const stored = (commit & storedFlag) !== 0 && header + size + countSize <= this.pageSize;
    this.#missed = stored ? page.readBigUInt64LE(header + size) : 0n;
    this.lost += this.#missed === 0n ? Number.NaN : Number(this.#missed);
  }

  #append(page: Buffer, size: number): void {
    const at = this.#full * this.pageSize + this.#used;
    const stamp = page.readBigUInt64LE(0);
    // Type 31, the lower 27 bits of the stamp, then the 32 above them.
    this.#bytes.writeUInt32LE(((Number(stamp & 0x7ffffffn) << 5) | 31) >>> 0, at);
    this.#bytes.writeUInt32LE(Number((stamp >> 27n) & 0xffffffffn), at + 4);
    page.copy(this.#bytes, at + stampSize, header, header + size);
    this.#used += stampSize + size;
  }
}
