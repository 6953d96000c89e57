import { alignUp, type Node } from './nodes.ts';
import type { HeaderForm, WordPart } from './scan.ts';
import { short, type Walker } from './walker.ts';

/** An integer in a header: where it stands from the header's beginning, in bits. */
type Leaf = { at: number; size: number; little: boolean };

/** The fields of a header, or of one option of it, that say what the event is and when; its length. */
type Shape = { id: Leaf | undefined; time: Leaf | undefined; size: number };

/** What a header's tag from `low` to `high` selects. */
type Option = { low: number; high: number; shape: Shape };

/**
 * Reads the headers of a stream's events: the event's number and its time, as far as they are there. Most are a structure of integers, or
 * LTTng's kind, a tag and a variant of such structures: those are read in one go, others field by field.
 */
export class HeaderReader {
  /** The number of the event's class; the time's bits, and how many (0: none). */
  id = 0;
  low = 0;
  high = 0;
  timeBits = 0;
  readonly #root: Node | undefined;
  readonly #plain: Shape | undefined;
  readonly #tag: Leaf | undefined;
  readonly #options: Option[] = [];

  constructor(root: Node | undefined) {
    this.#root = root;
    if (root === undefined) this.#plain = { id: undefined, time: undefined, size: 0 };
    if (root === undefined || root.kind !== 'struct' || root.align < 8) return;
    const kept = (node: Node): boolean => node.register >= 0 || node.children.some(kept);
    const variant = root.children.at(-1);
    if (root.fixed && !kept(root)) this.#plain = shapeOf(root.children, 0);
    else if (variant?.kind === 'variant' && root.children.length === 2) this.#tag = this.#tagged(root, variant);
  }

  /** LTTng's kind; undefined where it is not so. */
  #tagged({ align, children }: Node, variant: Node): Leaf | undefined {
    const tag = children[0] as Node;
    if (tag.kind !== 'int' || tag.size > 32 || tag.signed || variant.by !== tag || variant.optional) return undefined;
    for (const [n, option] of variant.children.entries()) {
      if (option.kind !== 'struct' || !option.fixed || option.align > align) return undefined;
      const begin = alignUp(tag.size, option.align);
      const shape = shapeOf(option.children, begin);
      if (shape === undefined || option.children.some((child) => child.register >= 0)) return undefined;
      for (const { low, high } of variant.ranges[n] ?? [])
        this.#options.push({ low, high, shape: { ...shape, size: begin + option.size } });
    }
    return { at: 0, size: tag.size, little: tag.little };
  }

  /** Reads a header; gives the position behind it, or why there is none. */
  read(walker: Walker, rel: number): number {
    if (this.#plain !== undefined) {
      rel = alignUp(rel, this.#root?.align ?? 1);
      const end = rel + this.#plain.size;
      if (end > walker.limit) return short;
      this.id = 0;
      this.#take(walker, rel, this.#plain);
      return end;
    }
    if (this.#tag !== undefined) {
      const begin = alignUp(rel, (this.#root as Node).align);
      if (begin + this.#tag.size > walker.limit) return short;
      const tag = leaf(walker, begin, this.#tag);
      this.id = tag;
      for (let n = 0; n < this.#options.length; n++) {
        const option = this.#options[n] as Option;
        if (tag < option.low || tag > option.high) continue;
        const end = begin + option.shape.size;
        if (end > walker.limit) return short;
        this.#take(walker, begin, option.shape);
        return end;
      }
    }
    walker.id = 0;
    walker.timeBits = 0;
    const end = walker.skip(this.#root as Node, rel);
    this.id = walker.id;
    this.low = walker.timeLow;
    this.high = walker.timeHigh;
    this.timeBits = walker.timeBits;
    return end;
  }

  /** The forms that headers in this byte order have, as they can be scanned by bytes, and the tag that tells the second; undefined where that is not so. */
  forms(little: boolean): { forms: HeaderForm[]; tag: WordPart | undefined; second: number } | undefined {
    const tag = this.#tag === undefined ? undefined : wordPart(this.#tag, little);
    const [first, second, third] =
      this.#plain === undefined ? this.#options : [{ low: 0, high: 0, shape: this.#plain }];
    if (first === undefined || third !== undefined || this.#root?.align !== 8) return undefined;
    if ((this.#tag === undefined) !== (tag === undefined)) return undefined;
    // LTTng's: all tags but the last are the class of the event.
    if (second !== undefined && (first.low !== 0 || second.low !== first.high + 1 || second.low !== second.high))
      return undefined;
    const forms = [first, ...(second === undefined ? [] : [second])].map(({ shape }) => formOf(shape, tag, little));
    if (!forms.every((form) => form !== undefined)) return undefined;
    return { forms, tag, second: second?.low ?? -1 };
  }

  #take(walker: Walker, rel: number, { id, time }: Shape): void {
    if (id !== undefined) this.id = id.size === 64 ? wideLeaf(walker, rel, id) : leaf(walker, rel, id);
    if (time === undefined) {
      this.timeBits = 0;
      return;
    }
    this.timeBits = time.size;
    if (time.size <= 32) {
      this.low = leaf(walker, rel, time);
      this.high = 0;
    } else if (time.size === 64 && (time.at & 7) === 0) {
      const at = walker.base + ((rel + time.at) >> 3);
      const first = walker.view.getUint32(at, time.little);
      const second = walker.view.getUint32(at + 4, time.little);
      this.low = time.little ? first : second;
      this.high = time.little ? second : first;
    } else {
      const { bits, bytes, base } = walker;
      bits.load(bytes, base + ((rel + time.at) >> 3), (rel + time.at) & 7, time.size, time.little, false);
      this.low = bits.low;
      this.high = bits.high;
    }
  }
}

/** An integer of 64 bits that begins with a byte, as far as it is a class's number. */
function wideLeaf({ view, base }: Walker, rel: number, { at, little }: Leaf): number {
  const place = base + ((rel + at) >> 3);
  const [low, high] = little ? [place, place + 4] : [place + 4, place];
  return view.getUint32(high, little) === 0 ? view.getUint32(low, little) : Number.POSITIVE_INFINITY;
}

/** The same in bytes. */
function formOf({ id, time, size }: Shape, tag: WordPart | undefined, little: boolean): HeaderForm | undefined {
  const wide = id?.size === 64;
  // What has more than 32 bits is no class's number.
  const idPart =
    id === undefined ? tag : wordPart(wide ? { ...id, at: id.at + (little ? 0 : 32), size: 32 } : id, little);
  const idHigh = wide ? ((id as Leaf).at >> 3) + (little ? 4 : 0) : undefined;
  if (time === undefined || idPart === undefined || size % 8 !== 0) return undefined;
  if (time.size <= 32) {
    const low = wordPart(time, little);
    return low && { size: size / 8, id: idPart, idHigh, low, high: undefined };
  }
  const at = time.at / 8;
  if (time.size !== 64 || !Number.isInteger(at) || time.little !== little) return undefined;
  const [low, high] = little ? [at, at + 4] : [at + 4, at];
  return { size: size / 8, id: idPart, idHigh, low: { at: low, shift: 0, mask: -1 }, high };
}

function wordPart(leaf: Leaf, little: boolean): WordPart | undefined {
  const bit = leaf.at & 7;
  const shift = little ? bit : 32 - bit - leaf.size;
  // The order of a byte's bits counts where it is not all of the byte; that of bytes where there are several.
  if (leaf.little !== little || bit + leaf.size > 32) return undefined;
  return { at: leaf.at >> 3, shift, mask: leaf.size === 32 ? -1 : 2 ** leaf.size - 1 };
}

/** An integer of at most 32 bits. */
function leaf({ view, bytes, base, bits }: Walker, rel: number, { at, size, little }: Leaf): number {
  const begin = rel + at;
  const place = base + (begin >> 3);
  const bit = begin & 7;
  if (bit === 0) {
    if (size === 32) return view.getUint32(place, little);
    if (size === 16) return view.getUint16(place, little);
    if (size === 8) return view.getUint8(place);
  }
  // The beginning and the rest of a word, as in LTTng's compact headers.
  if (bit + size === 32)
    return little ? view.getUint32(place, true) >>> bit : view.getUint32(place, false) & (2 ** size - 1);
  if (bit + size <= 8) {
    const byte = view.getUint8(place);
    return (little ? byte >>> bit : byte >>> (8 - bit - size)) & ((1 << size) - 1);
  }
  bits.load(bytes, place, bit, size, little, false);
  return bits.low;
}

/** What of these integers says what the event is and when; undefined where it is not so simple. */
function shapeOf(fields: readonly Node[], begin: number): Shape | undefined {
  let id: Leaf | undefined;
  let time: Leaf | undefined;
  let at = begin;
  for (const node of fields) {
    at = alignUp(at, node.align);
    if (node.role === 'event class' && (node.size <= 32 || (node.size === 64 && node.align >= 8)))
      id = { at, size: node.size, little: node.little };
    else if (node.role === 'time' && node.size <= 64) time = { at, size: node.size, little: node.little };
    else if (node.kind !== 'int' || node.role !== undefined) return undefined;
    at += node.size;
  }
  return { id, time, size: at - begin };
}
