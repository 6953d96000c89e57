/**
 * Something in an input that virtap cannot go on with. The message names the file, the byte
 * offset where known, what was found, and what was expected there.
 */
export class TraceError extends Error {
  /** The input's path as the user gave it, or `<stdin>`. */
  readonly file: string;
  /** Byte offset in the (decompressed) input, or undefined where none applies. */
  readonly offset: number | undefined;

  constructor(file: string, problem: string, offset?: number, expected?: string) {
    const where = offset === undefined ? file : `${file}: byte ${offset}`;
    super(`${where}: ${problem}${expected === undefined ? '' : `; expected ${expected}`}`);
    this.name = 'TraceError';
    this.file = file;
    this.offset = offset;
  }
}
