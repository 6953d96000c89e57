import { cellOf, type HexReader, type Reader, type Spans } from '../spans/kind.ts';
import { IdTable } from '../trace/id-table.ts';

/** Sorts spans of a kind into groups, by what some of their columns hold. A group is a small number. */
export class SpanGroups {
  readonly #readers: readonly Reader[];
  readonly #keys: readonly ((k: number) => number)[];
  readonly #limit: number;
  /** By group of the columns so far and the next column's key: nodes, of which those of the last column are groups. */
  readonly #nodes = new IdTable();
  readonly #groupOf: number[] = [];
  /** By group: what its columns hold. */
  readonly #cells: (readonly unknown[])[] = [];

  /** At most `limit` groups; what is beyond shares one more, numbered `limit`. */
  constructor(spans: Spans, by: readonly string[], limit: number) {
    this.#limit = limit;
    this.#readers = by.map((name) => spans.read[name] as Reader);
    this.#keys = this.#readers.map((reader) => keyOf(reader, limit));
  }

  /** The group of span `k`. */
  of(k: number): number {
    let node = 0;
    for (const key of this.#keys) {
      const value = key(k);
      const known = this.#nodes.find(node, value);
      if (known < 0 && this.#nodes.size >= this.#limit * this.#keys.length) return this.#limit;
      node = (known >= 0 ? known : this.#nodes.id(node, value)) + 1;
    }
    const group = this.#groupOf[node];
    if (group !== undefined && group >= 0) return group;
    if (this.#cells.length === this.#limit) return this.#limit;
    while (this.#groupOf.length <= node) this.#groupOf.push(-1);
    this.#groupOf[node] = this.#cells.length;
    return this.#cells.push(this.#readers.map((reader) => cellOf(reader, k))) - 1;
  }

  /** What the columns of a group hold; undefined for the one of what was too much. */
  cells(group: number): readonly unknown[] | undefined {
    return this.#cells[group];
  }
}

/** A small number for each value of a column. */
function keyOf(reader: Reader, limit: number): (k: number) => number {
  if (typeof reader !== 'function') {
    return 'low' in reader ? addressKey(reader, limit) : (k) => reader.id(k) + 1;
  }
  const ids = new Map<unknown, number>();
  return (k) => {
    const value = reader(k);
    let id = ids.get(value);
    if (id === undefined) {
      id = ids.size;
      if (id < limit) ids.set(value, id);
    }
    return id;
  };
}

function addressKey(reader: HexReader, limit: number): (k: number) => number {
  const ids = new IdTable();
  return (k) => {
    if (reader.known?.(k) === false) return 0;
    const [high, low] = [reader.high(k), reader.low(k)];
    const known = ids.find(high, low);
    return known >= 0 ? known + 1 : ids.size < limit ? ids.id(high, low) + 1 : limit + 1;
  };
}

/** A cell as people read it; '' where it is not known. */
export function cellText(cell: unknown): string {
  if (cell === undefined || cell === -1) return '';
  return typeof cell === 'string' ? cell : String(cell);
}
