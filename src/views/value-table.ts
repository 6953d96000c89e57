import type { EventBatch } from '../trace/batch.ts';
import type { FieldReader } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import { NameTable } from '../trace/name-table.ts';

/** Distinct values of a field told apart; further ones are `others`. */
const maxValues = 4096;
/** Rows told apart; further ones are one. */
const maxNodes = 1 << 16;

const lacking = 0;
const others = 1;
const firstValue = 2;

/** Gives small numbers to the values of a field, and the values back as text. */
export class ValueTable {
  readonly #integers = new IdTable();
  readonly #texts = new NameTable(maxValues);
  readonly #labels: (string | undefined)[] = [undefined, 'others'];

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
      if (this.#integers.size === maxValues) return others;
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

  #set(value: number, label: string): void {
    while (this.#labels.length <= value) this.#labels.push(undefined);
    this.#labels[value] = label;
  }
}

/** Rows of values, made one value after the other: a tree whose nodes are small numbers. The root is 0. */
export class ValueTree {
  readonly #nodes = new IdTable();

  /** The node that one more value leads to; -1 where there are too many, or the node is such a one already. */
  step(node: number, value: number): number {
    if (node < 0) return -1;
    const known = this.#nodes.find(node, value);
    if (known >= 0) return known + 1;
    return this.#nodes.size === maxNodes ? -1 : this.#nodes.id(node, value) + 1;
  }

  /** The values that lead to a node, first to last. */
  path(node: number): number[] {
    const values: number[] = [];
    for (let n = node; n > 0; n = this.#nodes.high(n - 1)) values.unshift(this.#nodes.low(n - 1));
    return values;
  }
}
