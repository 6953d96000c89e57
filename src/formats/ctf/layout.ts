import type { EventBatch } from '../../trace/batch.ts';
import { type Field, type FieldReader, hex64, type Layout } from '../../trace/event-type.ts';
import { IntReader } from '../int-reader.ts';
import { NoNumber, TextReader } from '../text-reader.ts';
import { wide } from './bits.ts';
import type { Label } from './classes.ts';
import { alignUp, type Node } from './nodes.ts';
import type { Walker } from './walker.ts';

/** A field of an event, under the name that virtap has for it. */
export type NamedField = Field & { node: Node; listed: boolean };

/**
 * How the events of one class lie that begin at one distance from an alignment boundary. `at` of such an event is the byte in which its
 * contexts or fields begin, behind its header; `phase` is how many bits that beginning is behind the boundary.
 */
export class CtfLayout implements Layout {
  readonly fields: readonly Field[];
  readonly #named: readonly NamedField[];
  readonly #root: Node;
  readonly #phase: number;
  readonly #walker: Walker;

  /** `walker` holds what of packets and headers the event refers to. */
  constructor(root: Node, named: readonly NamedField[], phase: number, walker: Walker) {
    this.#root = root;
    this.#named = named;
    this.#phase = phase;
    this.#walker = walker;
    this.fields = named.filter(({ listed }) => listed);
  }

  reader(name: string): FieldReader | undefined {
    const field = this.#named.find((one) => one.name === name);
    if (field === undefined) return undefined;
    const place = this.#place(field.node);
    return readerOf(field.node, place);
  }

  #place(node: Node): Place {
    // Of what varies, a length may stand before it.
    const plain = node.fixed || node.kind === 'string' || node.kind === 'varint';
    const at = plain ? staticPlace(this.#root, this.#phase, node) : undefined;
    return at === undefined
      ? new SearchedPlace(this.#walker, this.#root, this.#phase, node)
      : new FixedPlace(this.#walker, this.#phase, node, at);
  }

  print(b: EventBatch, i: number): string {
    this.#printers ??= this.#named
      .filter(({ listed }) => listed)
      .map(({ name }) => ({ name, reader: this.reader(name) as FieldReader }));
    return this.#printers.map(({ name, reader }) => `${name}=${reader.text(b, i)}`).join(' ');
  }
  #printers: { name: string; reader: FieldReader }[] | undefined;
}

/** Where a field stands in every event that begins at this phase, in bits from the boundary; undefined where that varies. */
export function staticPlace(root: Node, phase: number, target: Node): number | undefined {
  const path: Node[] = [];
  for (let node: Node | undefined = target; node !== undefined && node !== root; node = node.parent) path.unshift(node);
  let at = phase;
  let parent = root;
  for (const step of path) {
    if (parent !== root && parent.kind !== 'struct') return undefined;
    for (const child of parent.children) {
      at = alignUp(at, child.align);
      if (child === step) break;
      if (!child.fixed) return undefined;
      at += child.size;
    }
    parent = step;
  }
  return at;
}

/** Finds a field of an event: sets up the walker and gives the field's position; negative where it is not there. */
abstract class Place {
  readonly walker: Walker;
  readonly node: Node;
  protected readonly phase: number;

  constructor(walker: Walker, phase: number, node: Node) {
    this.walker = walker;
    this.phase = phase;
    this.node = node;
  }

  abstract find(b: EventBatch, i: number): number;

  protected begin(b: EventBatch, i: number): void {
    const { walker } = this;
    walker.bytes = b.bytes;
    walker.view = b.view;
    const behind = this.phase >> 3;
    walker.base = (b.at[i] as number) - behind;
    walker.limit = (behind + (b.size[i] as number)) * 8;
  }
}

class FixedPlace extends Place {
  readonly at: number;

  constructor(walker: Walker, phase: number, node: Node, at: number) {
    super(walker, phase, node);
    this.at = at;
  }

  /** Bytes from the beginning of the payload, where it begins with a byte. */
  get offset(): number | undefined {
    return (this.at & 7) === 0 ? (this.at >> 3) - (this.phase >> 3) : undefined;
  }

  find(b: EventBatch, i: number): number {
    this.begin(b, i);
    return this.at;
  }
}

class SearchedPlace extends Place {
  readonly #root: Node;
  readonly #path: ReadonlySet<Node>;

  constructor(walker: Walker, root: Node, phase: number, node: Node) {
    super(walker, phase, node);
    this.#root = root;
    const path = new Set<Node>();
    for (let one: Node | undefined = node; one !== undefined; one = one.parent) path.add(one);
    this.#path = path;
  }

  find(b: EventBatch, i: number): number {
    this.begin(b, i);
    return this.walker.find(this.#root, this.phase, this.node, this.#path);
  }
}

function readerOf(node: Node, place: Place): FieldReader {
  switch (node.kind) {
    case 'int': {
      const { size, little, signed, labels } = node;
      const base = baseOf(node);
      if (size > 64) return new ValueReader(place);
      const offset = place instanceof FixedPlace ? place.offset : undefined;
      const whole = size === 8 || size === 16 || size === 32 || size === 64;
      if (offset !== undefined && whole && labels === undefined && (base === 10 || base === 16))
        return new IntReader(offset, (size / 8) as 1 | 2 | 4 | 8, signed, little, base === 16 ? 'hex' : 'decimal');
      return new BitReader(place);
    }
    case 'varint':
      return new BitReader(place);
    case 'string':
      return node.unit === 1 ? new BytesReader(place) : new ValueReader(place);
    case 'array':
      if (isText(node)) return new BytesReader(place);
      return new ValueReader(place);
    default:
      return new ValueReader(place);
  }
}

function baseOf({ class: type }: Node): number {
  return type?.kind === 'int' || type?.kind === 'varint' ? type.base : 10;
}

/** Whether an array is a text in bytes. */
export function isText({ kind, class: type, children: [element] }: Node): boolean {
  if (kind !== 'array' || type?.kind !== 'array') return false;
  if (type.encoding !== undefined) return type.encoding === 'utf-8';
  const of = element?.class;
  return of?.kind === 'int' && of.text && of.size === 8 && (element as Node).align === 8;
}

/** An integer of any width at any place; NaN where the event lacks it. */
class BitReader implements FieldReader {
  readonly kind = 'int';
  readonly #place: Place;
  readonly #node: Node;

  constructor(place: Place) {
    this.#place = place;
    this.#node = place.node;
  }

  #load(b: EventBatch, i: number): boolean {
    const rel = this.#place.find(b, i);
    const node = this.#node;
    const { walker } = this.#place;
    if (rel < 0) return false;
    if (node.kind === 'varint') return walker.varint(node, rel) >= 0;
    if (rel + node.size > walker.limit) return false;
    walker.load(node, rel);
    return true;
  }

  number(b: EventBatch, i: number): number {
    return this.#load(b, i) ? this.#place.walker.bits.number(this.#node.signed) : Number.NaN;
  }
  low(b: EventBatch, i: number): number {
    return this.#load(b, i) ? this.#place.walker.bits.low : 0;
  }
  high(b: EventBatch, i: number): number {
    return this.#load(b, i) ? this.#place.walker.bits.high : 0;
  }
  text(b: EventBatch, i: number): string {
    return this.#load(b, i) ? intText(this.#node, this.#place.walker) : '';
  }
}

function intText(node: Node, { bits }: Walker): string {
  const { labels, signed } = node;
  if (labels !== undefined) {
    const value = bits.big(signed);
    const label = labels.find(({ low, high }: Label) => value >= low && value <= high);
    if (label !== undefined) return label.name;
  }
  const base = baseOf(node);
  if (base === 10) return String(bits.big(signed));
  // A negative number is written with as many digits as it has bits.
  const value = node.size > 0 && node.size < 64 ? BigInt.asUintN(node.size, bits.big(false)) : bits.big(false);
  if (base === 16) return hex64(Number(value >> 32n), Number(value & 0xffffffffn));
  return `0${base === 2 ? 'b' : 'o'}${value.toString(base)}`;
}

/** A text in bytes: up to a NUL, or of a length. */
class BytesReader extends TextReader {
  readonly #place: Place;

  constructor(place: Place) {
    super();
    this.#place = place;
  }

  find(b: EventBatch, i: number): boolean {
    const rel = this.#place.find(b, i);
    if (rel < 0) return false;
    const { walker, node } = this.#place;
    const most = walker.base + (walker.limit >> 3);
    const length = node.kind === 'string' ? Number.POSITIVE_INFINITY : walker.lengthOf(node);
    this.start = walker.base + (rel >> 3);
    let end = this.start;
    const limit = Math.min(most, this.start + length);
    while (end < limit && b.bytes[end] !== 0) end++;
    this.end = end;
    return true;
  }
}

/** Anything else, as text: structures, arrays, variants, floating-point numbers. */
class ValueReader extends NoNumber {
  readonly #place: Place;

  constructor(place: Place) {
    super();
    this.#place = place;
  }

  override number(b?: EventBatch, i?: number): number {
    return b === undefined || i === undefined || this.#place.node.kind !== 'float'
      ? Number.NaN
      : Number(this.text(b, i));
  }

  text(b: EventBatch, i: number): string {
    const rel = this.#place.find(b, i);
    if (rel < 0) return '';
    const printer = new ValuePrinter(this.#place.walker);
    return printer.print(this.#place.node, rel) < 0 ? '' : printer.text;
  }
}

/** Texts of values are cut here. */
const longestText = 4096;

/** Writes a value with all that is in it: `[1, 2]`, `{a=1 b=2}`. */
class ValuePrinter {
  text = '';
  readonly #walker: Walker;

  constructor(walker: Walker) {
    this.#walker = walker;
  }

  /** Appends the value at `rel`; gives the position behind it, negative where it is not whole. */
  print(node: Node, rel: number): number {
    const walker = this.#walker;
    rel = alignUp(rel, node.align);
    switch (node.kind) {
      case 'int':
        if (rel + node.size > walker.limit) return -1;
        if (node.size > 64) {
          const { bytes, base } = walker;
          const value = wide(bytes, base + (rel >> 3), rel & 7, node.size, node.little, node.signed);
          this.text += baseOf(node) === 16 ? `0x${BigInt.asUintN(node.size, value).toString(16)}` : String(value);
          return rel + node.size;
        }
        // What follows may be as long as this says: then it is kept.
        if (node.watched) walker.skip(node, rel);
        else walker.load(node, rel);
        this.text += intText(node, walker);
        return rel + node.size;
      case 'varint': {
        const end = walker.skip(node, rel);
        if (end >= 0) this.text += intText(node, walker);
        return end;
      }
      case 'float':
        return this.#float(node, rel);
      case 'string': {
        const at = walker.textEnd(node, rel);
        if (at < 0) return -1;
        this.text += decode(walker, node, rel, at);
        return (at + node.unit - walker.base) * 8;
      }
      case 'variant': {
        const option = walker.optionOf(node);
        return option === undefined ? rel : this.print(option, rel);
      }
      case 'array':
        return this.#array(node, rel);
      default:
        return this.#struct(node, rel);
    }
  }

  #struct(node: Node, rel: number): number {
    this.text += '{';
    for (const [n, child] of node.children.entries()) {
      this.text += `${n === 0 ? '' : ' '}${bareName(child.name)}=`;
      rel = this.print(child, rel);
      if (rel < 0) return rel;
    }
    this.text += '}';
    return rel;
  }

  #array(node: Node, rel: number): number {
    const walker = this.#walker;
    const [element] = node.children as [Node];
    const length = walker.lengthOf(node);
    const { class: type } = node;
    const encoding = type?.kind === 'array' ? type.encoding : undefined;
    if (encoding !== undefined || isText(node)) {
      const end = rel + length * 8;
      if (end > walker.limit) return -1;
      const from = walker.base + (rel >> 3);
      const bytes = Buffer.from(walker.bytes.buffer, walker.bytes.byteOffset + from, length);
      this.text += toText(bytes, encoding ?? 'utf-8').replace(/\0.*$/s, '');
      return end;
    }
    this.text += '[';
    for (let n = 0; n < length; n++) {
      if (this.text.length > longestText) {
        this.text += ', …]';
        return walker.skip(node, rel);
      }
      if (n > 0) this.text += ', ';
      rel = this.print(element, rel);
      if (rel < 0) return rel;
    }
    this.text += ']';
    return rel;
  }

  #float(node: Node, rel: number): number {
    const { size, little } = node;
    const walker = this.#walker;
    if (rel + size > walker.limit) return -1;
    walker.bits.load(walker.bytes, walker.base + (rel >> 3), rel & 7, size, little, false);
    scratch.setUint32(0, walker.bits.high);
    scratch.setUint32(4, walker.bits.low);
    const value = size === 64 ? scratch.getFloat64(0) : size === 32 ? scratch.getFloat32(4) : half(walker.bits.low);
    this.text += size === 32 ? String(Number(value.toPrecision(8))) : String(value);
    return rel + size;
  }
}

const scratch = new DataView(new ArrayBuffer(8));

/** IEEE 754's number of 16 bits. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

function decode({ bytes, base }: Walker, { class: type }: Node, rel: number, end: number): string {
  const from = base + (rel >> 3);
  return toText(
    Buffer.from(bytes.buffer, bytes.byteOffset + from, end - from),
    type?.kind === 'string' ? type.encoding : 'utf-8',
  );
}

function toText(bytes: Buffer, encoding: string): string {
  if (encoding === 'utf-8') return bytes.toString('utf8');
  if (encoding.startsWith('utf-16')) return new TextDecoder(encoding).decode(bytes);
  let text = '';
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const code = encoding === 'utf-32le' ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
    text += code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd';
  }
  return text;
}

/** Whether a field has this name, which babeltrace2's writer put an underscore before as well. */
export function isCalled({ name }: Node, called: string): boolean {
  return name === called || name === `_${called}`;
}

/** CTF 1.8's writers put an underscore before names, lest they be words of TSDL. */
export function bareName(name: string): string {
  return name.startsWith('_') ? name.slice(1) : name;
}
