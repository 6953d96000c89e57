import { grown } from '../trace/grown.ts';

const none = -1;

/**
 * The spans that are open, by key: a hash table whose entries come and go, so that memory follows how many are open
 * at once. Keys are rows of 32-bit words. Entries are in order of their beginning; the oldest make room where there are too many.
 */
export class OpenTable {
  /** Number of open spans. */
  size = 0;
  /** The oldest entry and, by entry, the next younger one; -1 where there is none. */
  oldest = none;
  younger = new Int32Array(64);
  /** How many were forgotten to make room. */
  forgotten = 0;
  /** By entry: time of the beginning, CPU and thread. */
  begin = new Float64Array(64);
  cpu = new Int32Array(64);
  tid = new Int32Array(64);
  /** By entry: whatever number the caller notes. */
  note = new Int32Array(64);
  /** The key to look for: to be filled before `find` and `add`. */
  readonly key: Uint32Array;

  readonly #words: number;
  readonly #limit: number;
  #keys: Uint32Array;
  /** By place in the table: the entry, -1 where none is. */
  #places = new Int32Array(128).fill(none);
  #older = new Int32Array(64);
  #youngest = none;
  #free = none;
  #used = 0;
  /** Differs from run to run, so that nobody can prepare collisions. */
  readonly #seed = (Math.random() * 0x100000000) | 0;

  /** Keys of `words` words; at most `limit` entries. */
  constructor(words: number, limit: number) {
    this.key = new Uint32Array(words);
    this.#words = words;
    this.#limit = limit;
    this.#keys = new Uint32Array(64 * words);
  }

  /** The entry with the key, -1 where none is. */
  find(): number {
    const mask = this.#places.length - 1;
    for (let p = this.#hash(this.key, 0) & mask; ; p = (p + 1) & mask) {
      const entry = this.#places[p] as number;
      if (entry < 0 || this.#equal(entry)) return entry;
    }
  }

  /** Adds an entry for the key, which must have none. The oldest is forgotten where there is no room. */
  add(): number {
    if (this.size === this.#limit) {
      this.forgotten++;
      this.remove(this.oldest);
    }
    let entry = this.#free;
    if (entry >= 0) this.#free = this.younger[entry] as number;
    else {
      entry = this.#used++;
      if (entry === this.begin.length) this.#grow();
    }
    this.#keys.set(this.key, entry * this.#words);
    this.size++;
    const mask = this.#places.length - 1;
    let p = this.#hash(this.key, 0) & mask;
    while ((this.#places[p] as number) >= 0) p = (p + 1) & mask;
    this.#places[p] = entry;
    this.younger[entry] = none;
    this.#older[entry] = this.#youngest;
    if (this.#youngest >= 0) this.younger[this.#youngest] = entry;
    else this.oldest = entry;
    this.#youngest = entry;
    return entry;
  }

  remove(entry: number): void {
    const places = this.#places;
    const mask = places.length - 1;
    let p = this.#hash(this.#keys, entry * this.#words) & mask;
    while (places[p] !== entry) p = (p + 1) & mask;
    // Those behind it move up where they may, so that no look-up ends too early.
    for (let q = (p + 1) & mask; ; q = (q + 1) & mask) {
      const other = places[q] as number;
      if (other < 0) break;
      const home = this.#hash(this.#keys, other * this.#words) & mask;
      if (((q - home) & mask) < ((q - p) & mask)) continue;
      places[p] = other;
      p = q;
    }
    places[p] = none;
    const younger = this.younger[entry] as number;
    const older = this.#older[entry] as number;
    if (older >= 0) this.younger[older] = younger;
    else this.oldest = younger;
    if (younger >= 0) this.#older[younger] = older;
    else this.#youngest = older;
    this.younger[entry] = this.#free;
    this.#free = entry;
    this.size--;
  }

  /** Word `n` of an entry's key. */
  word(entry: number, n: number): number {
    return this.#keys[entry * this.#words + n] as number;
  }

  /** Entries that were in use at once, at most. */
  get most(): number {
    return this.#used;
  }

  #hash(words: Uint32Array, at: number): number {
    let h = this.#seed;
    for (let n = 0; n < this.#words; n++) {
      h = Math.imul(h ^ (words[at + n] as number), 0x85ebca6b);
      h ^= h >>> 13;
    }
    h = Math.imul(h, 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0;
  }

  #equal(entry: number): boolean {
    const at = entry * this.#words;
    for (let n = 0; n < this.#words; n++) if (this.#keys[at + n] !== this.key[n]) return false;
    return true;
  }

  #grow(): void {
    this.begin = grown(this.begin);
    this.cpu = grown(this.cpu);
    this.tid = grown(this.tid);
    this.note = grown(this.note);
    this.younger = grown(this.younger);
    this.#older = grown(this.#older);
    this.#keys = grown(this.#keys);
    this.#places = new Int32Array(this.begin.length * 2).fill(none);
    const mask = this.#places.length - 1;
    for (let entry = this.oldest; entry >= 0; entry = this.younger[entry] as number) {
      let p = this.#hash(this.#keys, entry * this.#words) & mask;
      while ((this.#places[p] as number) >= 0) p = (p + 1) & mask;
      this.#places[p] = entry;
    }
  }
}
