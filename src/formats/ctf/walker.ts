import { Bits } from './bits.ts';
import type { Role } from './classes.ts';
import { alignUp, type Node, strideOf } from './nodes.ts';

/** What a walk gives instead of a position: the bytes end before; something cannot be; the field that was looked for is there. */
export const short = -1;
export const invalid = -2;
const found = -3;

/**
 * Goes over the fields of packets and event records. Positions are bits from `base`, a byte of `bytes` that is as far from the
 * packet's beginning as alignments need.
 */
export class Walker {
  readonly bits = new Bits();
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  base = 0;
  /** The position behind the last bit that there is. */
  limit = 0;
  /** Why the walk was invalid. */
  problem = '';

  /** Values that others refer to, by register. */
  low = new Uint32Array(4);
  high = new Uint32Array(4);
  /** Values with a role; the two that every event has apart. */
  readonly roles = new Map<Role, bigint>();
  /** The identification of a trace, in hexadecimal digits. */
  uuid = '';
  id = 0;
  timeLow = 0;
  timeHigh = 0;
  /** Bits of the time, 0 where none was met. */
  timeBits = 0;

  /** The field that is looked for, the structures that it is in, and where it was found. */
  #target: Node | undefined;
  #path: ReadonlySet<Node> = noNodes;
  #found = 0;

  /** Has room for this many registers. */
  reserve(registers: number): void {
    if (registers <= this.low.length) return;
    const [low, high] = [this.low, this.high];
    this.low = new Uint32Array(2 * registers);
    this.high = new Uint32Array(2 * registers);
    this.low.set(low);
    this.high.set(high);
  }

  /** The position behind a field that begins at or after `rel`. */
  skip(node: Node, rel: number): number {
    if (node.kind === 'root') return this.#children(node, rel);
    if (rel > this.limit) return short;
    rel = alignUp(rel, node.align);
    if (node === this.#target) {
      this.#found = rel;
      return found;
    }
    if (node.size >= 0 && !node.watched && !this.#path.has(node)) {
      rel += node.size;
      return rel > this.limit ? short : rel;
    }
    switch (node.kind) {
      case 'int':
        if (rel + node.size > this.limit) return short;
        if (node.size <= 64) {
          this.load(node, rel);
          this.#keep(node, node.size);
        }
        return rel + node.size;
      case 'float':
        rel += node.size;
        return rel > this.limit ? short : rel;
      case 'varint':
        rel = this.varint(node, rel);
        if (rel >= 0) this.#keep(node, 64);
        return rel;
      case 'string':
        return this.#text(node, rel);
      case 'struct':
        return this.#children(node, rel);
      case 'array':
        return this.#array(node, rel);
      default: {
        const option = this.optionOf(node);
        if (option !== undefined) return this.skip(option, rel);
        return node.optional
          ? rel
          : this.#invalid(`no option of "${node.name}" for the value ${this.#selection(node)}`);
      }
    }
  }

  /** Where a field begins in a record of this root at `rel`; `short` where it is not there. */
  find(root: Node, rel: number, target: Node, path: ReadonlySet<Node>): number {
    this.#target = target;
    this.#path = path;
    const end = this.skip(root, rel);
    this.#target = undefined;
    this.#path = noNodes;
    return end === found ? this.#found : short;
  }

  /** Loads an integer of at most 64 bits into `bits`. */
  load(node: Node, rel: number): void {
    this.bits.load(this.bytes, this.base + (rel >> 3), rel & 7, node.size, node.little, node.signed);
  }

  /** Loads a LEB128 integer into `bits`; gives the position behind it. */
  varint(node: Node, rel: number): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; ; shift += 7, rel += 8) {
      if (rel + 8 > this.limit) return short;
      if (shift > 63) return this.#invalid('an integer of more than 64 bits');
      const byte = this.bytes[this.base + (rel >> 3)] as number;
      const part = byte & 127;
      if (shift < 32) {
        low |= part << shift;
        if (shift > 25) high |= part >>> (32 - shift);
      } else high |= part << (shift - 32);
      if (byte > 127) continue;
      if (node.signed && byte & 64 && shift + 7 < 64) {
        if (shift + 7 < 32) low |= -1 << (shift + 7);
        high |= shift + 7 <= 32 ? -1 : -1 << (shift + 7 - 32);
      }
      this.bits.low = low >>> 0;
      this.bits.high = high >>> 0;
      return rel + 8;
    }
  }

  /** The option of a variant that is there; undefined where none is. */
  optionOf(node: Node): Node | undefined {
    const by = node.by as Node;
    const low = this.low[by.register] as number;
    const high = this.high[by.register] as number;
    const value = (by.signed ? high | 0 : high) * 0x100000000 + low;
    const exact = Number.isSafeInteger(value) ? undefined : this.#selection(node);
    for (let n = 0; n < node.ranges.length; n++) {
      for (const range of node.ranges[n] as Node['ranges'][number]) {
        const fits =
          exact === undefined
            ? value >= range.low && value <= range.high
            : exact >= range.label.low && exact <= range.label.high;
        if (fits) return node.children[n];
      }
    }
    return undefined;
  }

  /** How many elements an array has; negative where that cannot be. */
  lengthOf(node: Node): number {
    const { by } = node;
    if (by === undefined) return node.length;
    const high = this.high[by.register] as number;
    return (by.signed ? high | 0 : high) * 0x100000000 + (this.low[by.register] as number);
  }

  /** The bytes of a text without what ends it: where they begin and end, and the position behind the field. */
  textEnd(node: Node, rel: number): number {
    const end = this.base + (this.limit >> 3);
    const { unit } = node;
    const { bytes } = this;
    for (let at = this.base + (rel >> 3); at + unit <= end; at += unit) {
      let k = 0;
      while (k < unit && bytes[at + k] === 0) k++;
      if (k === unit) return at;
    }
    return -1;
  }

  #text(node: Node, rel: number): number {
    const end = this.textEnd(node, rel);
    return end < 0 ? short : (end + node.unit - this.base) * 8;
  }

  #children(node: Node, rel: number): number {
    if (this.#target !== undefined) {
      for (const child of node.children) {
        rel = this.skip(child, rel);
        if (rel < 0) return rel;
      }
      return rel;
    }
    const { steps } = node;
    for (let n = 0; n < steps.length; n++) {
      const { node: child, align, size } = steps[n] as Node['steps'][number];
      if (child === undefined) {
        if (rel > this.limit) return short;
        rel = alignUp(rel, align) + size;
      } else {
        rel = this.skip(child, rel);
        if (rel < 0) return rel;
      }
    }
    return rel > this.limit ? short : rel;
  }

  #array(node: Node, rel: number): number {
    const element = node.children[0] as Node;
    const length = this.lengthOf(node);
    if (length < 0) return this.#invalid(`"${node.name}" has ${length} elements`);
    if (node.role === 'uuid') this.#uuid(rel, length);
    if (length === 0) return rel;
    if (element.size >= 0 && !element.watched) {
      const end = rel + strideOf(element) * (length - 1) + element.size;
      return end > this.limit ? short : end;
    }
    for (let n = 0; n < length; n++) {
      const next = this.skip(element, rel);
      // What takes no room is the same again and again.
      if (next < 0 || next === rel) return next;
      rel = next;
    }
    return rel;
  }

  #uuid(rel: number, length: number): void {
    const at = this.base + (rel >> 3);
    if (length !== 16 || rel + 128 > this.limit) return;
    this.uuid = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + at, 16).toString('hex');
  }

  #keep({ register, role, signed }: Node, size: number): void {
    const { bits } = this;
    if (register >= 0) {
      this.low[register] = bits.low;
      this.high[register] = bits.high;
    }
    if (role === undefined) return;
    if (role === 'event class') this.id = bits.high === 0 ? bits.low : Number.POSITIVE_INFINITY;
    else if (role === 'time') {
      this.timeLow = bits.low;
      this.timeHigh = bits.high;
      this.timeBits = size;
    } else this.roles.set(role, bits.big(signed));
  }

  #selection({ by }: Node): bigint {
    const { register, signed } = by as Node;
    const value = (BigInt(this.high[register] as number) << 32n) | BigInt(this.low[register] as number);
    return signed ? BigInt.asIntN(64, value) : value;
  }

  #invalid(problem: string): number {
    this.problem = problem;
    return invalid;
  }
}

const noNodes: ReadonlySet<Node> = new Set();
