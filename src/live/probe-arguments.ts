import type { Architecture } from './elf.ts';

/*
 * A probe's arguments, from how the compiler wrote them to how the kernel's uprobes fetch them.
 * Sources: https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation; linux Documentation/trace/uprobetracer.rst.
 */

/** One argument of a probe. */
export type Operand = {
  /** Size of the value, in bytes. */
  size: 1 | 2 | 4 | 8;
  signed: boolean;
  /** What the kernel is to fetch: `%di`, `+8(%sp)`, `\5`; undefined where it has no way to. */
  fetch: string | undefined;
};

/** Takes apart a probe's arguments: `8@%rdi -4@-20(%rbp) 8@$0`. */
export function operandsOf(args: string, machine: Architecture): Operand[] {
  // An operand of arm64 can hold spaces: 4@[sp, 12].
  return [...args.matchAll(/(-?)([1248])(f?)@(\[[^\]]*\]|\S+)/g)].map(([, sign, size, float, operand]) => ({
    size: Number(size) as Operand['size'],
    signed: sign === '-',
    fetch: float === 'f' ? undefined : { 'x86-64': x86, arm64 }[machine](operand as string),
  }));
}

function x86(operand: string): string | undefined {
  const immediate = /^\$(-?(?:0x[\da-f]+|\d+))$/i.exec(operand);
  if (immediate !== null) return immediateOf(immediate[1] as string);
  const register = x86Register(operand);
  if (register !== undefined) return register;
  // The kernel knows no index registers.
  const memory = /^(-?(?:0x[\da-f]+|\d+))?\((%\w+)\)$/i.exec(operand);
  if (memory === null) return undefined;
  const base = x86Register(memory[2] as string);
  return base === undefined || base === '%ip' ? undefined : memoryAt(memory[1] ?? '0', base);
}

/** The kernel's name of a register; the parts of one are told apart by the argument's type. */
function x86Register(operand: string): string | undefined {
  const name = /^%(\w+)$/.exec(operand)?.[1];
  if (name === undefined) return undefined;
  const numbered = /^(r(?:[89]|1[0-5]))[dwb]?$/.exec(name);
  if (numbered !== null) return `%${numbered[1]}`;
  const named = /^[re]?(ax|bx|cx|dx|si|di|bp|sp|ip)$/.exec(name) ?? /^(si|di|bp|sp)l$/.exec(name);
  if (named !== null) return `%${named[1]}`;
  const low = /^([abcd])l$/.exec(name);
  return low === null ? undefined : `%${low[1]}x`;
}

function arm64(operand: string): string | undefined {
  if (/^-?(?:0x[\da-f]+|\d+)$/i.test(operand)) return immediateOf(operand);
  const register = armRegister(operand);
  if (register !== undefined) return register;
  const memory = /^\[ *(\w+)(?:, *#?(-?(?:0x[\da-f]+|\d+)))? *\]$/i.exec(operand);
  const base = memory === null ? undefined : armRegister(memory[1] as string);
  return base === undefined ? undefined : memoryAt(memory?.[2] ?? '0', base);
}

function armRegister(name: string): string | undefined {
  if (name === 'sp') return '%sp';
  const number = /^[xw](\d|[12]\d|30)$/.exec(name)?.[1];
  return number === undefined ? undefined : `%x${number}`;
}

/** Decimal, as the kernel reads it; undefined where it is no 64-bit number. */
function immediateOf(text: string): string | undefined {
  const value = integer(text);
  return value < -(1n << 63n) || value >= 1n << 63n ? undefined : `\\${value}`;
}

function memoryAt(displacement: string, base: string): string {
  const value = integer(displacement);
  return `${value < 0n ? '' : '+'}${value}(${base})`;
}

function integer(text: string): bigint {
  return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
}
