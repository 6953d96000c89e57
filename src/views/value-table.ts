import type { EventBatch } from '../trace/batch.ts';
import type { FieldReader } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import { NameTable } from '../trace/name-table.ts';

/** Distinct values of a field told apart, where nobody says how many; further ones are `others`. */
const usualValues = 4096;
/** Rows told apart, where nobody says how many; further ones are one. */
const usualNodes = 1 << 16;

const lacking = 0;
const others = 1;
const firstValue = 2;

/** Values of a stretch of a recording, as plain data. */
export type ValuesPart = {
  integers: Uint32Array;
  texts: readonly Uint8Array[];
  labels: readonly (string | undefined)[];
};

/** Gives small numbers to the values of a field, and the values back as text. */
export class ValueTable {
  readonly #integers = new IdTable();
  readonly #texts: NameTable;
  readonly #labels: (string | undefined)[] = [undefined, 'others'];
  readonly #limit: number;

  /** At most `limit` values, each of numbers and of texts, are told apart. */
  constructor(limit = usualValues) {
    this.#limit = limit;
    this.#texts = new NameTable(limit);
  }

  /** The number of a field's value in event `i`: `lacking` (0) where the event has none. */
  id(reader: FieldReader | undefined, b: EventBatch, i: number): number {
    if (reader === undefined) return lacking;
    if (reader.kind === 'text') {
      const id = this.#texts.read(reader, b, i);
      // -1 also of one that is empty, or too long.
      if (id < 0) return reader.text(b, i) === '' ? lacking : others;
      const value = firstValue + 2 * id;
      if (this.#labels[value] === undefined) this.#set(value, this.#texts.text(id));
      return value;
    }
    if (Number.isNaN(reader.number(b, i))) return lacking;
    const high = reader.high(b, i);
    const low = reader.low(b, i);
    let id = this.#integers.find(high, low);
    if (id < 0) {
      if (this.#integers.size === this.#limit) return others;
      id = this.#integers.id(high, low);
    }
    const value = firstValue + 2 * id + 1;
    if (this.#labels[value] === undefined) this.#set(value, reader.text(b, i));
    return value;
  }

  /** The value as people write it; undefined for `lacking`. Untrusted. */
  label(value: number): string | undefined {
    return this.#labels[value];
  }

  part(): ValuesPart {
    const texts = Array.from({ length: this.#texts.size }, (_, id) => this.#texts.bytes(id));
    return { integers: this.#integers.values(), texts, labels: this.#labels };
  }

  /** Whether all values of both find room. */
  accepts({ integers, texts }: ValuesPart): boolean {
    return this.#integers.size + integers.length / 2 < this.#limit && this.#texts.size + texts.length < this.#limit;
  }

  /** What a value of a part is here. */
  take({ integers, texts, labels }: ValuesPart, value: number): number {
    if (value < firstValue) return value;
    const id = (value - firstValue) >> 1;
    const text = texts[id] as Uint8Array;
    const own =
      firstValue +
      (value % 2 === firstValue % 2
        ? 2 * this.#texts.id(text, 0, text.length)
        : 2 * this.#integers.id(integers[2 * id] as number, integers[2 * id + 1] as number) + 1);
    if (this.#labels[own] === undefined) this.#set(own, labels[value] as string);
    return own;
  }

  #set(value: number, label: string): void {
    while (this.#labels.length <= value) this.#labels.push(undefined);
    this.#labels[value] = label;
  }
}

/** Rows of values, made one value after the other: a tree whose nodes are small numbers. The root is 0. */
export class ValueTree {
  readonly #nodes = new IdTable();
  readonly #limit: number;

  constructor(limit = usualNodes) {
    this.#limit = limit;
  }

  /** The node that one more value leads to; -1 where there are too many, or the node is such a one already. */
  step(node: number, value: number): number {
    if (node < 0) return -1;
    const known = this.#nodes.find(node, value);
    if (known >= 0) return known + 1;
    return this.#nodes.size === this.#limit ? -1 : this.#nodes.id(node, value) + 1;
  }

  /** What each node comes from, and its value, two numbers each. */
  part(): Uint32Array {
    return this.#nodes.values();
  }

  accepts(nodes: Uint32Array): boolean {
    return this.#nodes.size + nodes.length / 2 < this.#limit;
  }

  /** Takes over the nodes of another; gives what each is here. `idOf` gives what the value of its step number `n` is here. */
  join(nodes: Uint32Array, idOf: (n: number, value: number) => number): number[] {
    const own = [0];
    const depth = [0];
    for (let id = 0; 2 * id < nodes.length; id++) {
      const from = nodes[2 * id] as number;
      const n = depth[from] as number;
      own.push(this.step(own[from] as number, idOf(n, nodes[2 * id + 1] as number)));
      depth.push(n + 1);
    }
    return own;
  }

  /** The values that lead to a node, first to last. */
  path(node: number): number[] {
    const values: number[] = [];
    for (let n = node; n > 0; n = this.#nodes.high(n - 1)) values.unshift(this.#nodes.low(n - 1));
    return values;
  }
}
