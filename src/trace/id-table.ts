import { grown } from './grown.ts';

/**
 * Gives small consecutive ids to 64-bit values (addresses, keys), so that they can index arrays.
 * Open addressing over two halves: no bigint, no string, nothing allocated per look-up.
 */
export class IdTable {
  #slots: Int32Array;
  #low: Uint32Array;
  #high: Uint32Array;
  #size = 0;

  constructor(capacity = 64) {
    let slots = 16;
    while (slots < capacity * 2) slots *= 2;
    this.#slots = new Int32Array(slots).fill(-1);
    this.#low = new Uint32Array(slots / 2);
    this.#high = new Uint32Array(slots / 2);
  }

  /** Number of ids given. */
  get size(): number {
    return this.#size;
  }

  /** The id of a value, or -1 where it has none yet. */
  find(high: number, low: number): number {
    const mask = this.#slots.length - 1;
    for (let s = hash(high, low) & mask; ; s = (s + 1) & mask) {
      const id = this.#slots[s] as number;
      if (id < 0 || (this.#low[id] === low >>> 0 && this.#high[id] === high >>> 0)) return id;
    }
  }

  /** The id of a value, a new one (the old `size`) on first sight. */
  id(high: number, low: number): number {
    const mask = this.#slots.length - 1;
    let s = hash(high, low) & mask;
    for (; ; s = (s + 1) & mask) {
      const id = this.#slots[s] as number;
      if (id < 0) break;
      if (this.#low[id] === low >>> 0 && this.#high[id] === high >>> 0) return id;
    }
    const id = this.#size++;
    this.#low[id] = low;
    this.#high[id] = high;
    this.#slots[s] = id;
    if (this.#size === this.#low.length) this.#grow();
    return id;
  }

  /** Bits 0–31 of the value with that id. */
  low(id: number): number {
    return this.#low[id] as number;
  }

  /** Bits 32–63 of the value with that id. */
  high(id: number): number {
    return this.#high[id] as number;
  }

  /** The values by id, two numbers each: bits 32–63, bits 0–31. */
  values(): Uint32Array {
    const values = new Uint32Array(2 * this.#size);
    for (let id = 0; id < this.#size; id++) values.set([this.high(id), this.low(id)], 2 * id);
    return values;
  }

  #grow(): void {
    const low = grown(this.#low);
    const high = grown(this.#high);
    this.#low = low;
    this.#high = high;
    this.#slots = new Int32Array(low.length * 2).fill(-1);
    const mask = this.#slots.length - 1;
    for (let id = 0; id < this.#size; id++) {
      let s = hash(high[id] as number, low[id] as number) & mask;
      while ((this.#slots[s] as number) >= 0) s = (s + 1) & mask;
      this.#slots[s] = id;
    }
  }
}

/** Mixes both halves; addresses differ mostly in bits 4–40. */
function hash(high: number, low: number): number {
  let h = Math.imul(low ^ (low >>> 15), 0x2c1b3c6d) ^ Math.imul(high + 0x7f4a7c15, 0x297a2d39);
  h = Math.imul(h ^ (h >>> 12), 0x85ebca6b);
  return (h ^ (h >>> 16)) >>> 0;
}
