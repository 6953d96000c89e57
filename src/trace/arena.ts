/** Buffers of the first traces that a process reads. */
const uncounted = 16;
let reserved = 0;

/**
 * A buffer of which only what is touched takes memory. V8 counts an ArrayBuffer as memory of its own and looks for garbage as soon as a large
 * one is made, which takes a tenth of a short run; a SharedArrayBuffer it does not count, and so would let pile up in a process that reads
 * trace after trace.
 */
export function reserve(bytes: number): ArrayBufferLike {
  return reserved++ < uncounted ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
}

/**
 * One buffer cut into slots of equal size, into which readers read the input. An event's payload stays where
 * it was read until the event was consumed, so a slot is free again only when nothing refers to it.
 *
 * The whole buffer is reserved at once and never moves; the operating system gives memory only to the slots
 * that were touched, and a freed slot is the first to be used again.
 */
export class Arena {
  /** Room before each slot's data, for the beginning of a record that the previous slot ended with. */
  readonly headroom: number;
  /** Room for data in each slot. */
  readonly slotSize: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #free: number[] = [];
  readonly #references: Int32Array;

  /**
   * `maxBytes` bounds the whole buffer; a reader that finds no slot must hand out what it holds first. One that is `shared` another thread can
   * fill.
   */
  constructor(slotSize: number, headroom: number, maxBytes: number, shared = false) {
    this.headroom = headroom;
    this.slotSize = slotSize;
    const slots = Math.max(4, Math.floor(maxBytes / (slotSize + headroom)));
    const size = slots * (slotSize + headroom);
    this.bytes = new Uint8Array(shared ? new SharedArrayBuffer(size) : reserve(size));
    this.view = new DataView(this.bytes.buffer);
    this.#references = new Int32Array(slots);
    for (let slot = slots - 1; slot >= 0; slot--) this.#free.push(slot);
  }

  /** A free slot, held once; -1 where the bound is reached. */
  acquire(): number {
    const slot = this.#free.pop() ?? -1;
    if (slot >= 0) this.#references[slot] = 1;
    return slot;
  }

  /** Where the slot's data begins; the headroom lies before it. */
  start(slot: number): number {
    return slot * (this.slotSize + this.headroom) + this.headroom;
  }

  /** Holds a slot once more. */
  hold(slot: number): void {
    this.#references[slot] = (this.#references[slot] as number) + 1;
  }

  /** Lets a slot go once; it is free when all holds are gone. */
  release(slot: number): void {
    const left = (this.#references[slot] as number) - 1;
    this.#references[slot] = left;
    if (left === 0) this.#free.push(slot);
  }
}
