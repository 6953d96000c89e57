import type { EventBatch } from '../trace/batch.ts';
import type { FieldReader } from '../trace/event-type.ts';
import type { ExpressionParser } from './c-expression.ts';
import { type Expression, integer, type Printer, textual, Unsupported } from './c-operators.ts';
import { type IntegerType, int, knownType, readInteger, ulong } from './c-types.ts';
import type { KernelField, KernelFormat } from './kernel-format.ts';
import { hexByte } from './print-pointer.ts';
import { type Integer, narrow, small, truncate } from './printf.ts';

/** The payload whose format is compiled: its fields, where they lie, and how they are read. */
export type PrintedPayload = {
  readonly format: KernelFormat;
  reader(name: string): FieldReader | undefined;
  extent(field: KernelField, b: EventBatch, i: number): [start: number, end: number];
};

/** What the kernel's formats refer to: the event's fields, and the helpers of its trace headers. */
export class KernelHelpers {
  readonly little: boolean;
  readonly #layout: PrintedPayload;

  constructor(layout: PrintedPayload, little: boolean) {
    this.#layout = layout;
    this.little = little;
  }

  field(name: string): Expression {
    const field = this.#field(name);
    if (field.kind === 'int') return this.#integer(field);
    const text = this.#text(field);
    const memory = this.#memory(field);
    return { ...memory, isText: field.kind !== 'bytes', text };
  }

  enumerator(name: string): number | undefined {
    return name === 'true' ? 1 : enumerators.get(name);
  }

  call(name: string, parser: ExpressionParser): Expression | undefined {
    switch (name) {
      case '__get_str':
      case '__get_rel_str':
        return textual(this.#text(this.#named(parser)));
      case '__get_dynamic_array':
      case '__get_rel_dynamic_array':
        return this.#memory(this.#named(parser));
      case '__get_dynamic_array_len':
      case '__get_rel_dynamic_array_len': {
        const field = this.#named(parser);
        return integer(int, (b, i) => {
          const [start, end] = this.#layout.extent(field, b, i);
          return end - start;
        });
      }
      case '__get_bitmask':
      case '__get_rel_bitmask':
        return textual(this.#bitmask(this.#named(parser)));
      case '__get_cpumask':
      case '__get_rel_cpumask':
        return textual(this.#cpulist(this.#named(parser)));
      case '__print_symbolic':
      case '__print_symbolic_u64':
        return symbolic(parser);
      case '__print_flags':
      case '__print_flags_u64':
        return flags(parser);
      case '__print_hex':
        return this.#hex(parser, ' ');
      case '__print_hex_str':
        return this.#hex(parser, '');
      case '__print_array':
        return this.#array(parser, true);
      case '__print_dynamic_array':
        return this.#array(parser, false);
      case '__builtin_expect': {
        const value = parser.expression();
        parser.expect(',');
        parser.expression();
        parser.expect(')');
        return value;
      }
      default:
        return undefined;
    }
  }

  #field(name: string): KernelField {
    const field = this.#layout.format.fields.find((f) => f.name === name);
    if (field === undefined) throw new Unsupported(`the field ${name}`);
    return field;
  }

  /** A field's name and the closing parenthesis. */
  #named(parser: ExpressionParser): KernelField {
    const field = this.#field(parser.name());
    parser.expect(')');
    return field;
  }

  #integer(field: KernelField): Expression {
    const { offset, signed } = field;
    const { little } = this;
    const bits = (field.size * 8) as IntegerType['bits'];
    const type: IntegerType = { bits, signed };
    const read = (b: EventBatch, i: number): Integer => {
      if (offset + field.size > (b.size[i] as number)) return 0;
      const at = (b.at[i] as number) + offset;
      if (bits < 64) return readInteger(b.view, at, type, little);
      const low = b.view.getUint32(little ? at : at + 4, little);
      const at2 = little ? at + 4 : at;
      const high = signed ? b.view.getInt32(at2, little) : b.view.getUint32(at2, little);
      // Exact below 2^53; addresses of the kernel are not.
      if (high < 0x200000 && high > -0x200000) return high * 0x100000000 + low;
      return narrow((BigInt(high) << 32n) | BigInt(low));
    };
    return {
      ...integer(type, read),
      extent: (b, i) => {
        const at = b.at[i] as number;
        return offset + field.size > (b.size[i] as number) ? [at, at] : [at + offset, at + offset + field.size];
      },
    };
  }

  #memory(field: KernelField): Expression {
    const memory: Expression = {
      ...integer(ulong, () => 0),
      extent: (b, i) => this.#layout.extent(field, b, i),
    };
    const element = elementOf(field);
    if (element !== undefined) memory.element = element;
    return memory;
  }

  #text(field: KernelField): Printer {
    const reader = this.#layout.reader(field.name);
    if (reader === undefined) throw new Unsupported(`the field ${field.name}`);
    return (b, i) => reader.text(b, i);
  }

  /** A buffer and its length in bytes, as hexadecimal bytes. */
  #hex(parser: ExpressionParser, separator: string): Expression {
    const { extent } = parser.expression();
    parser.expect(',');
    const length = parser.expression();
    parser.expect(')');
    if (extent === undefined) throw new Unsupported('a buffer');
    return textual((b, i) => {
      const [start, end] = extent(b, i);
      const stop = Math.min(end, start + Math.max(0, small(length.value(b, i))));
      let text = '';
      for (let at = start; at < stop; at++) text += (at > start ? separator : '') + hexByte(b.bytes[at] as number);
      return text;
    });
  }

  /** A buffer, its number of elements (without `counted`: the name of a dynamic array), and the size of an element: `{0x1,0x2}`. */
  #array(parser: ExpressionParser, counted: boolean): Expression {
    const { extent } = counted ? parser.expression() : this.#memory(this.#field(parser.name()));
    parser.expect(',');
    const count = counted ? parser.expression() : undefined;
    if (counted) parser.expect(',');
    const size = parser.expression();
    parser.expect(')');
    if (extent === undefined) throw new Unsupported('a buffer');
    return textual((b, i) => {
      const [start, end] = extent(b, i);
      const bytes = small(size.value(b, i));
      if (bytes !== 1 && bytes !== 2 && bytes !== 4 && bytes !== 8) return '{}';
      const type: IntegerType = { bits: (bytes * 8) as IntegerType['bits'], signed: false };
      const most = count === undefined ? Number.POSITIVE_INFINITY : small(count.value(b, i));
      const items: string[] = [];
      for (let at = start; at + bytes <= end && items.length < most; at += bytes)
        items.push(`0x${readInteger(b.view, at, type, this.little).toString(16)}`);
      return `{${items.join(',')}}`;
    });
  }

  /** The bytes of a mask, the highest first, a comma after every 32 bits. */
  #bitmask(field: KernelField): Printer {
    return (b, i) => {
      const [start, end] = this.#layout.extent(field, b, i);
      const bytes = [...b.bytes.subarray(start, end)];
      if (this.little) bytes.reverse();
      return bytes
        .map((byte, n) => hexByte(byte) + ((bytes.length - n) % 4 === 1 && n < bytes.length - 1 ? ',' : ''))
        .join('');
    };
  }

  /** The set bits of a mask as a list: `0-2,5`. */
  #cpulist(field: KernelField): Printer {
    return (b, i) => {
      const [start, end] = this.#layout.extent(field, b, i);
      const set = (bit: number): boolean => {
        const byte = bit >> 3;
        // A mask is an array of longs in the machine's byte order.
        const at = start + (this.little ? byte : (byte & ~7) + 7 - (byte & 7));
        return at < end && ((b.bytes[at] as number) & (1 << (bit & 7))) !== 0;
      };
      const ranges: string[] = [];
      for (let bit = 0; bit < (end - start) * 8; bit++) {
        if (!set(bit)) continue;
        const first = bit;
        while (set(bit + 1)) bit++;
        ranges.push(first === bit ? `${first}` : `${first}-${bit}`);
      }
      return ranges.join(',');
    };
  }
}

/** Enumerators that kernels before 4.1 left as names in their formats (libtraceevent knows the same). */
const enumerators = new Map<string, number>(
  Object.entries<number>({
    HI_SOFTIRQ: 0,
    TIMER_SOFTIRQ: 1,
    NET_TX_SOFTIRQ: 2,
    NET_RX_SOFTIRQ: 3,
    BLOCK_SOFTIRQ: 4,
    IRQ_POLL_SOFTIRQ: 5,
    TASKLET_SOFTIRQ: 6,
    SCHED_SOFTIRQ: 7,
    HRTIMER_SOFTIRQ: 8,
    RCU_SOFTIRQ: 9,
    HRTIMER_NORESTART: 0,
    HRTIMER_RESTART: 1,
  }),
);

/** The type of an array's elements: by its declared size, else by its declared name. */
function elementOf(field: KernelField): IntegerType | undefined {
  const [, type = '', count = ''] = /^(?:__(?:data|rel)_loc )?(.*?)\[(\d*)\]$/.exec(field.declared) ?? [];
  const named = type.includes('*') ? ulong : knownType(type.split(/\s+/));
  const bits = count === '' ? undefined : (field.size * 8) / Number(count);
  if (bits === 8 || bits === 16 || bits === 32 || bits === 64) return { bits, signed: named?.signed ?? false };
  return named;
}

/** The arms `{ value, "name" }, …` of __print_symbolic and __print_flags, to the closing parenthesis. */
function arms(parser: ExpressionParser): [value: Integer, name: string][] {
  const result: [Integer, string][] = [];
  while (parser.accept(',')) {
    parser.expect('{');
    if (parser.accept('}')) continue;
    const value = parser.expression();
    parser.expect(',');
    const name = parser.expression();
    parser.expect('}');
    if (value.constant === undefined) throw new Unsupported('a value that is not constant');
    // `{ -1, NULL }` ends the list. A name that the kernel left as it is matches nothing.
    if (name.literal !== undefined && value.unknown !== true)
      result.push([truncate(value.constant, 64, false), name.literal]);
  }
  parser.expect(')');
  return result;
}

function symbolic(parser: ExpressionParser): Expression {
  const subject = parser.expression();
  const names = new Map<Integer, string>();
  // The first of equal values counts.
  for (const [value, name] of arms(parser)) if (!names.has(value)) names.set(value, name);
  return textual((b, i) => {
    const value = truncate(subject.value(b, i), 64, false);
    return names.get(value) ?? `0x${value.toString(16)}`;
  });
}

function flags(parser: ExpressionParser): Expression {
  const subject = parser.expression();
  parser.expect(',');
  const delimiter = parser.expression().literal ?? '';
  const table = arms(parser);
  const wide = table.map(([value, name]): [bigint, string] => [BigInt(value), name]).filter(([value]) => value !== 0n);
  const narrowTable = wide
    .filter(([value]) => value <= 0x7fffffffn)
    .map(([value, name]): [number, string] => [Number(value), name]);
  return textual((b, i) => {
    const value = truncate(subject.value(b, i), 64, false);
    const found: string[] = [];
    if (typeof value === 'number' && value <= 0x7fffffff) {
      let left = value;
      for (const [mask, name] of narrowTable) {
        if ((left & mask) !== mask) continue;
        found.push(name);
        left &= ~mask;
      }
      if (left !== 0) found.push(`0x${left.toString(16)}`);
    } else {
      let left = BigInt(value);
      for (const [mask, name] of wide) {
        if ((left & mask) !== mask) continue;
        found.push(name);
        left &= ~mask;
      }
      if (left !== 0n) found.push(`0x${left.toString(16)}`);
    }
    return found.join(delimiter);
  });
}
