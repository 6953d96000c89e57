/** Values that lengths, counts and offsets go wrong with. */
const tricky = [0, 1, 3, 7, 8, 0x7f, 0x80, 0xff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff];

/** One to four damages: flipped bits, tricky numbers, bytes cut out, repeated, or the end cut off. */
export function mutate(original: Uint8Array, below: (n: number) => number): Uint8Array {
  let bytes = Buffer.from(original);
  for (let damages = 1 + below(4); damages > 0 && bytes.length > 0; damages--) {
    // Headers are where most lengths are: every second damage is near the beginning.
    const at = below(2) === 0 ? below(Math.min(bytes.length, 512)) : below(bytes.length);
    const length = Math.min(bytes.length - at, 1 << below(10));
    switch (below(6)) {
      case 0:
        bytes[at] = (bytes[at] as number) ^ (1 << below(8));
        break;
      case 1:
        bytes[at] = below(256);
        break;
      case 2:
        if (at + 4 <= bytes.length) bytes.writeUInt32LE(tricky[below(tricky.length)] as number, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
        break;
      default:
        if (below(4) === 0) bytes = bytes.subarray(0, at);
        else if (at + 8 <= bytes.length)
          bytes.writeBigUInt64LE(BigInt(tricky[below(tricky.length)] as number) << 32n, at);
    }
  }
  return bytes;
}

/** Whole numbers below n, the same for the same seed (xorshift32). */
export function random(seed: number): (n: number) => number {
  let state = seed | 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}
