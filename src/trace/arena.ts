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

  /** `maxBytes` bounds the whole buffer; a reader that finds no slot must hand out what it holds first. */
  constructor(slotSize: number, headroom: number, maxBytes: number) {
    this.headroom = headroom;
    this.slotSize = slotSize;
    const slots = Math.max(4, Math.floor(maxBytes / (slotSize + headroom)));
    // Another thread can fill it; and V8, which counts other buffers as its own memory, would look for garbage as soon as it is reserved.
    this.bytes = new Uint8Array(new SharedArrayBuffer(slots * (slotSize + headroom)));
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
