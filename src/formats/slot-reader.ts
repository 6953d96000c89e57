import type { Arena } from '../trace/arena.ts';

/** Reads the next bytes into `target`; `offset` is how many came before. Gives 0 at the end. */
export type ReadInto = (target: Uint8Array, offset: number) => Promise<number>;

/**
 * Reads a stream of records into arena slots, one slot ahead of the parser. A record that a slot cuts is
 * completed in the next slot's headroom, so that every record up to `headroom` bytes is contiguous.
 */
export class SlotReader {
  /** The slot that holds `pos` … `end`. The reader holds it until the next call of `next`. */
  slot = -1;
  /** First byte not yet parsed, and the end of the bytes at hand, as positions in the arena. The parser advances `pos`. */
  pos = 0;
  end = 0;
  /** True when the stream has no more bytes than those at hand. */
  done = false;

  readonly #arena: Arena;
  readonly #readInto: ReadInto;
  /** Offset in the stream of the byte at `end`. */
  #endOffset = 0;
  #ahead: Promise<number> | undefined;
  #aheadSlot = -1;

  /** `start` is the stream offset that reading begins at. */
  constructor(arena: Arena, readInto: ReadInto, start = 0) {
    this.#arena = arena;
    this.#readInto = readInto;
    this.#endOffset = start;
  }

  /** The stream offset of a position in `pos` … `end`. */
  offsetOf(position: number): number {
    return this.#endOffset - (this.end - position);
  }

  /**
   * Fetches more bytes. What is left in `pos` … `end` moves in front of them: at most the arena's headroom.
   * Returns false at the end of the stream, with the rest still at hand; `'full'` when the arena
   * has no free slot: take events from the sorter, then call again.
   */
  async next(): Promise<boolean | 'full'> {
    if (this.done) return false;
    if (this.#ahead === undefined && !this.#readAhead(this.#endOffset)) return 'full';
    const got = await (this.#ahead as Promise<number>);
    const slot = this.#aheadSlot;
    this.#ahead = undefined;
    const arena = this.#arena;
    if (got === 0) {
      arena.release(slot);
      this.done = true;
      return false;
    }
    const start = arena.start(slot);
    const left = this.end - this.pos;
    if (left > arena.headroom) throw new RangeError(`a record of more than ${arena.headroom} bytes`);
    arena.bytes.copyWithin(start - left, this.pos, this.end);
    if (this.slot >= 0) arena.release(this.slot);
    this.slot = slot;
    this.pos = start - left;
    this.end = start + got;
    this.#endOffset += got;
    this.#readAhead(this.#endOffset);
    return true;
  }

  /** Skips `n` bytes, which may reach beyond those at hand. Returns false where the stream ends before. */
  async skip(n: number): Promise<boolean> {
    let left = n;
    while (left > this.end - this.pos) {
      left -= this.end - this.pos;
      this.pos = this.end;
      const more = await this.next();
      if (more !== true) return false;
    }
    this.pos += left;
    return true;
  }

  /** Ends here, for another reader to go on: lets the slots go, and gives the offset of the first byte that was not parsed. */
  async leave(): Promise<number> {
    const offset = this.offsetOf(this.pos);
    await this.#ahead?.catch(() => 0);
    if (this.#ahead !== undefined) this.#arena.release(this.#aheadSlot);
    if (this.slot >= 0) this.#arena.release(this.slot);
    this.#ahead = undefined;
    this.slot = -1;
    this.done = true;
    return offset;
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#ahead?.catch(() => 0);
    this.done = true;
  }

  #readAhead(offset: number): boolean {
    const slot = this.#arena.acquire();
    if (slot < 0) return false;
    const start = this.#arena.start(slot);
    const target = this.#arena.bytes.subarray(start, start + this.#arena.slotSize);
    this.#aheadSlot = slot;
    this.#ahead = this.#readInto(target, offset);
    // Whoever awaits it sees the error; until then it is not unhandled.
    this.#ahead.catch(() => {});
    return true;
  }
}
