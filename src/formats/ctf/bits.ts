/**
 * An integer of any width at any bit, in two halves: `low` is bits 0–31, `high` bits 32–63, both unsigned. In little-endian order bits
 * are numbered from each byte's lowest, in big-endian order from its highest (CTF 1.8, 4.1.2).
 */
export class Bits {
  low = 0;
  high = 0;

  /** Loads `size` bits, at most 64, from `bit` bits after the beginning of the byte `at`. A signed one's sign goes up to bit 63. */
  load(bytes: Uint8Array, at: number, bit: number, size: number, little: boolean, signed: boolean): void {
    let low = 0;
    let high = 0;
    let shift = 0;
    const last = bit + size - 1;
    // From the lowest bits of the integer to the highest: forwards in little-endian order, else backwards.
    let index = little ? at + (bit >> 3) : at + (last >> 3);
    let skip = little ? bit & 7 : 7 - (last & 7);
    while (shift < size) {
      const take = Math.min(8 - skip, size - shift);
      const part = ((bytes[index] as number) >>> skip) & ((1 << take) - 1);
      if (shift < 32) {
        low |= part << shift;
        if (shift + take > 32) high |= part >>> (32 - shift);
      } else high |= part << (shift - 32);
      shift += take;
      skip = 0;
      index += little ? 1 : -1;
    }
    if (signed && size < 64) {
      if (size <= 32) {
        if ((low >>> (size - 1)) & 1) {
          if (size < 32) low |= -1 << size;
          high = -1;
        }
      } else if ((high >>> (size - 33)) & 1) high |= -1 << (size - 32);
    }
    this.low = low >>> 0;
    this.high = high >>> 0;
  }

  /** The loaded value as a double. */
  number(signed: boolean): number {
    return (signed ? this.high | 0 : this.high) * 0x100000000 + this.low;
  }

  /** The loaded value, exactly. */
  big(signed: boolean): bigint {
    const value = (BigInt(this.high) << 32n) | BigInt(this.low);
    return signed ? BigInt.asIntN(64, value) : value;
  }
}

/** An integer of more than 64 bits, exactly. */
export function wide(
  bytes: Uint8Array,
  at: number,
  bit: number,
  size: number,
  little: boolean,
  signed: boolean,
): bigint {
  const bits = new Bits();
  let value = 0n;
  for (let done = 0; done < size; done += 64) {
    const part = Math.min(64, size - done);
    bits.load(bytes, at, little ? bit + done : bit + size - done - part, part, little, false);
    value |= bits.big(false) << BigInt(done);
  }
  return signed ? BigInt.asIntN(size, value) : value;
}
