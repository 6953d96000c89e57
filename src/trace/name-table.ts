import type { EventBatch } from './batch.ts';
import type { FieldReader } from './event-type.ts';
import { grown } from './grown.ts';

/**
 * Gives small consecutive ids to short texts, without making strings of them. Lengths and number are bounded, as
 * a hostile file could hold a new name in each line.
 */
export class NameTable {
  #slots = new Int32Array(1024).fill(-1);
  #hashes = new Int32Array(512);
  /** The names one after the other, and where each begins. */
  #bytes = new Uint8Array(16384);
  #starts = new Uint32Array(513);
  #size = 0;
  readonly #limit: number;
  /** Differs from run to run, so that nobody can prepare collisions. */
  readonly #seed = (Math.random() * 0x100000000) | 0;

  /** At most `limit` names get an id. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Number of ids given. */
  get size(): number {
    return this.#size;
  }

  /** The id of the text at `start` … `end`: a new one (the old `size`) on first sight, -1 where no more are given. */
  id(bytes: Uint8Array, start: number, end: number): number {
    let h = this.#seed;
    for (let p = start; p < end; p++) h = Math.imul(h ^ (bytes[p] as number), 0x01000193);
    h ^= h >>> 15;
    const mask = this.#slots.length - 1;
    const length = end - start;
    let s = h & mask;
    for (; ; s = (s + 1) & mask) {
      const id = this.#slots[s] as number;
      if (id < 0) break;
      if (this.#hashes[id] !== h) continue;
      const at = this.#starts[id] as number;
      if ((this.#starts[id + 1] as number) - at !== length) continue;
      let k = 0;
      while (k < length && this.#bytes[at + k] === bytes[start + k]) k++;
      if (k === length) return id;
    }
    if (this.#size === this.#limit || length > 256) return -1;
    const id = this.#size++;
    const at = this.#starts[id] as number;
    if (at + length > this.#bytes.length) this.#bytes = grown(this.#bytes);
    this.#bytes.set(bytes.subarray(start, end), at);
    this.#starts[id + 1] = at + length;
    this.#hashes[id] = h;
    this.#slots[s] = id;
    if (this.#size === this.#hashes.length) this.#grow();
    return id;
  }

  /** The id of a text field of event `i`; -1 where it lacks it, or no more are given. */
  read(reader: FieldReader, b: EventBatch, i: number): number {
    const { bytes } = reader;
    if (bytes !== undefined) return bytes.find(b, i) ? this.id(b.bytes, bytes.start, bytes.end) : -1;
    const text = Buffer.from(reader.text(b, i));
    return text.length === 0 ? -1 : this.id(text, 0, text.length);
  }

  /** The text with that id. */
  text(id: number): string {
    return Buffer.from(this.bytes(id)).toString('utf8');
  }

  /** Its bytes. */
  bytes(id: number): Uint8Array {
    return this.#bytes.slice(this.#starts[id], this.#starts[id + 1]);
  }

  #grow(): void {
    const capacity = this.#hashes.length * 2;
    this.#hashes = grown(this.#hashes, 0, capacity);
    this.#starts = grown(this.#starts, 0, capacity + 1);
    this.#slots = new Int32Array(capacity * 2).fill(-1);
    const mask = this.#slots.length - 1;
    for (let id = 0; id < this.#size; id++) {
      let s = (this.#hashes[id] as number) & mask;
      while ((this.#slots[s] as number) >= 0) s = (s + 1) & mask;
      this.#slots[s] = id;
    }
  }
}
