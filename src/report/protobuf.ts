/**
 * Writes messages in protobuf's wire format (protobuf.dev/programming-guides/encoding): what a Perfetto trace needs of it.
 * Fields are given by number; a message within another is written by a function.
 */
export class ProtobufWriter {
  #bytes = new Uint8Array(64);
  #at = 0;

  /** An unsigned integer up to 2^64, as a varint. */
  uint(field: number, value: number | bigint): this {
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  fixed64(field: number, value: bigint): this {
    this.#varint(field * 8 + 1);
    this.#room(8);
    new DataView(this.#bytes.buffer).setBigUint64(this.#at, value, true);
    this.#at += 8;
    return this;
  }

  string(field: number, text: string): this {
    return this.#delimited(field, new TextEncoder().encode(text));
  }

  message(field: number, write: (inner: ProtobufWriter) => void): this {
    const inner = new ProtobufWriter();
    write(inner);
    return this.#delimited(field, inner.bytes());
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  #delimited(field: number, bytes: Uint8Array): this {
    this.#varint(field * 8 + 2);
    this.#varint(bytes.length);
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  #varint(value: number | bigint): void {
    this.#room(10);
    if (typeof value === 'bigint' && value > 0x1f_ffff_ffff_ffffn) {
      let rest = value;
      for (; rest >= 128n; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 127n) | 128;
      this.#bytes[this.#at++] = Number(rest);
      return;
    }
    let rest = Number(value);
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#bytes[this.#at++] = (rest % 128) | 128;
    this.#bytes[this.#at++] = rest;
  }

  #room(more: number): void {
    if (this.#at + more <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.#at + more));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
  }
}
