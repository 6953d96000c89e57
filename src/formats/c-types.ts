import { type Integer, narrow } from './printf.ts';

/** A C integer type. */
export type IntegerType = { bits: 8 | 16 | 32 | 64; signed: boolean };

export const int: IntegerType = { bits: 32, signed: true };
export const uint: IntegerType = { bits: 32, signed: false };
export const long: IntegerType = { bits: 64, signed: true };
export const ulong: IntegerType = { bits: 64, signed: false };

/** The integer of a type at a position. */
export function readInteger(view: DataView, at: number, type: IntegerType, little: boolean): Integer {
  if (type.bits === 64) return narrow(type.signed ? view.getBigInt64(at, little) : view.getBigUint64(at, little));
  if (type.bits === 32) return type.signed ? view.getInt32(at, little) : view.getUint32(at, little);
  if (type.bits === 16) return type.signed ? view.getInt16(at, little) : view.getUint16(at, little);
  return type.signed ? view.getInt8(at) : view.getUint8(at);
}

const sizes = new Map<string, IntegerType>(
  Object.entries<IntegerType>({
    bool: { bits: 8, signed: false },
    _Bool: { bits: 8, signed: false },
    u8: { bits: 8, signed: false },
    s8: { bits: 8, signed: true },
    u16: { bits: 16, signed: false },
    s16: { bits: 16, signed: true },
    u32: uint,
    s32: int,
    u64: ulong,
    s64: long,
    size_t: ulong,
    ssize_t: long,
    loff_t: long,
    off_t: long,
    pid_t: int,
    dev_t: uint,
    gfp_t: uint,
    umode_t: { bits: 16, signed: false },
    ino_t: ulong,
    sector_t: ulong,
    dma_addr_t: ulong,
    phys_addr_t: ulong,
    uintptr_t: ulong,
    gpa_t: ulong,
    gva_t: ulong,
    gfn_t: ulong,
    hpa_t: ulong,
    hva_t: ulong,
    pgoff_t: ulong,
  }),
);

/** The integer type that the words of a declaration name, undefined where they are no known integer. */
export function knownType(words: readonly string[]): IntegerType | undefined {
  let unsigned = false;
  let bits: IntegerType['bits'] | undefined;
  for (const word of words) {
    if (/^(const|volatile|signed|__force|struct|union)$/.test(word)) continue;
    if (word === 'unsigned') {
      unsigned = true;
      bits ??= 32;
    } else if (word === 'char') bits = 8;
    else if (word === 'short') bits = 16;
    else if (word === 'long') bits = 64;
    else if (word === 'int') bits = bits === 16 || bits === 64 ? bits : 32;
    else if (word === 'enum') return uint;
    else {
      // __u32, __le32 and uint32_t are u32; int32_t is s32.
      const plain = word
        .replace(/^__(?=[usbl])/, '')
        .replace(/^[bl]e(?=\d)/, 'u')
        .replace(/^(u?)int(\d+)_t$/, (_, u: string, width: string) => `${u === 'u' ? 'u' : 's'}${width}`);
      return sizes.get(plain);
    }
  }
  return bits === undefined ? undefined : { bits, signed: !unsigned };
}

/**
 * Widths of C types on the 64-bit machines that QEMU runs on. Anything unknown is taken as 64 bits, as simpletrace
 * writes it: not as the kernel's are above, where an unknown type is none.
 */
export function qemuType(declared: string): IntegerType {
  const type = declared.replace(/\b(const|volatile|struct|enum)\b/g, '').trim();
  if (type.includes('*')) return { bits: 64, signed: false };
  const fixed = /^(u?)int(8|16|32|64)_t$/.exec(type);
  if (fixed !== null) return { bits: Number(fixed[2]) as IntegerType['bits'], signed: fixed[1] === '' };
  if (type === 'bool') return { bits: 8, signed: false };
  if (/^(size_t|uintptr_t|hwaddr|ram_addr_t|vaddr|dma_addr_t|target_ulong|TCGv)$/.test(type)) {
    return { bits: 64, signed: false };
  }
  if (/^(ssize_t|intptr_t|off_t|time_t)$/.test(type)) return { bits: 64, signed: true };
  const signed = !/\bunsigned\b/.test(type);
  if (/\bchar\b/.test(type)) return { bits: 8, signed };
  if (/\bshort\b/.test(type)) return { bits: 16, signed };
  if (/\blong\b/.test(type)) return { bits: 64, signed };
  if (/^(signed|unsigned)?\s*(int)?$/.test(type)) return { bits: 32, signed };
  return { bits: 64, signed: false };
}
