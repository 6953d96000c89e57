/**
 * One buffer cut into slots of equal size, into which readers read the input. An event's payload stays where
 * it was read until the event was consumed, so a slot is free again only when nothing refers to it.
 * Positions are offsets into the whole buffer, and stay valid when it grows.
 */
export class Arena {
  /** Room before each slot's data, for the beginning of a record that the previous slot ended with. */
  readonly headroom: number;
  /** Room for data in each slot. */
  readonly slotSize: number;
  bytes: Uint8Array;
  view: DataView;
  readonly #free: number[] = [];
  #references: Int32Array;
  #slots: number;
  readonly #maxSlots: number;

  /** `maxBytes` bounds the whole buffer; a reader that finds no slot must hand out what it holds first. */
  constructor(slotSize: number, headroom: number, maxBytes = 512 << 20) {
    this.headroom = headroom;
    this.slotSize = slotSize;
    this.#slots = 4;
    this.#maxSlots = Math.max(4, Math.floor(maxBytes / (slotSize + headroom)));
    this.bytes = new Uint8Array(this.#slots * (slotSize + headroom));
    this.view = new DataView(this.bytes.buffer);
    this.#references = new Int32Array(this.#slots);
    for (let slot = this.#slots - 1; slot >= 0; slot--) this.#free.push(slot);
  }

  /** A free slot, held once; -1 where the bound is reached. */
  acquire(): number {
    if (this.#free.length === 0 && !this.#grow()) return -1;
    const slot = this.#free.pop() as number;
    this.#references[slot] = 1;
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

  #grow(): boolean {
    if (this.#slots >= this.#maxSlots) return false;
    const slots = Math.min(this.#slots * 2, this.#maxSlots);
    const bytes = new Uint8Array(slots * (this.slotSize + this.headroom));
    bytes.set(this.bytes);
    const references = new Int32Array(slots);
    references.set(this.#references);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.#references = references;
    for (let slot = slots - 1; slot >= this.#slots; slot--) this.#free.push(slot);
    this.#slots = slots;
    return true;
  }
}
