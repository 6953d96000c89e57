/** Turns a stream of chunks into reads of a given size. An error of the stream comes only after all bytes before it were given. */
export class ChunkPump {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #left: Uint8Array = new Uint8Array(0);
  #failed: unknown;

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  /**
   * Fills `target` with the next bytes, and returns how many: 0 at the end. `eager` returns with what one
   * chunk gave rather than wait for more, for pipes that somebody watches.
   */
  async readInto(target: Uint8Array, eager = false): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      if (this.#left.length === 0) {
        if (eager && filled > 0) break;
        if (this.#failed !== undefined) {
          if (filled > 0) break;
          throw this.#failed;
        }
        try {
          const next = await this.#chunks.next();
          if (next.done === true) break;
          this.#left = next.value;
        } catch (error) {
          this.#failed = error;
        }
        continue;
      }
      const n = Math.min(this.#left.length, target.length - filled);
      target.set(this.#left.subarray(0, n), filled);
      filled += n;
      this.#left = this.#left.subarray(n);
    }
    return filled;
  }
}
