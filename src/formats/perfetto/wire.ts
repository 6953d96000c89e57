/** Reads protobuf's wire format (protobuf.dev/programming-guides/encoding) in place: one field after the other of a message. */
export class WireReader {
  bytes: Uint8Array;
  /** The next field begins here, and the message ends there. */
  pos = 0;
  end = 0;
  /** The field at hand: its number and wire type (0 varint, 1 and 5 fixed, 2 bytes). */
  field = 0;
  wire = 0;
  /** Its value where it is an integer, in unsigned halves; where its bytes lie where it has a length. */
  low = 0;
  high = 0;
  from = 0;
  to = 0;
  /** Whether something stood there that cannot be. */
  broken = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Begins a message. */
  begin(from: number, to: number): this {
    this.pos = from;
    this.end = to;
    this.broken = false;
    return this;
  }

  /** Goes on to the next field; false at the end, and where what follows is none. */
  next(): boolean {
    if (this.pos >= this.end || !this.#varint()) return false;
    if (this.high !== 0 || this.low < 8) return this.#break();
    this.field = this.low >>> 3;
    this.wire = this.low & 7;
    const { bytes } = this;
    switch (this.wire) {
      case 0:
        return this.#varint();
      case 1:
      case 5: {
        const size = this.wire === 1 ? 8 : 4;
        if (this.pos + size > this.end) return this.#break();
        const view = new DataView(bytes.buffer, bytes.byteOffset + this.pos, size);
        this.low = view.getUint32(0, true);
        this.high = size === 8 ? view.getUint32(4, true) : 0;
        this.pos += size;
        return true;
      }
      case 2:
        if (!this.#varint()) return false;
        if (this.high !== 0 || this.low > this.end - this.pos) return this.#break();
        this.from = this.pos;
        this.to = this.pos + this.low;
        this.pos = this.to;
        return true;
      default:
        return this.#break();
    }
  }

  /** The next number of a packed field; false at the end. */
  packed(): boolean {
    return this.pos < this.end && this.#varint();
  }

  /** Whether the field at hand is this one, and a string or a message. */
  holds(field: number): boolean {
    return this.field === field && this.wire === 2;
  }

  text(): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + this.from, this.to - this.from).toString('utf8');
  }

  #varint(): boolean {
    const { bytes, end } = this;
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.pos >= end) return this.#break();
      const byte = bytes[this.pos++] as number;
      const value = byte & 0x7f;
      if (shift < 28) low |= value << shift;
      else if (shift === 28) {
        low |= value << 28;
        high = value >>> 4;
      } else if (shift < 63) high |= value << (shift - 32);
      else high |= (value & 1) << 31;
      if (byte < 0x80) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        return true;
      }
    }
    return this.#break();
  }

  #break(): false {
    this.broken = true;
    return false;
  }
}

/** Writes a message of integers and strings, for events that a trace holds in another form. */
export function encode(fields: readonly (readonly [field: number, value: bigint | string])[]): Uint8Array {
  const parts: number[] = [];
  const varint = (value: bigint) => {
    let rest = BigInt.asUintN(64, value);
    for (; rest > 127n; rest >>= 7n) parts.push(Number(rest & 127n) | 128);
    parts.push(Number(rest));
  };
  for (const [field, value] of fields) {
    varint(BigInt(field * 8 + (typeof value === 'string' ? 2 : 0)));
    if (typeof value === 'bigint') varint(value);
    else {
      const bytes = Buffer.from(value);
      varint(BigInt(bytes.length));
      for (const byte of bytes) parts.push(byte);
    }
  }
  return Uint8Array.from(parts);
}
