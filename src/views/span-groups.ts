import type { HexReader, Reader, Spans } from '../spans/kind.ts';
import { hex64 } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';

/** What groups are made of in a stretch of a recording, as plain data: by group, what tells each of its columns. */
export type GroupsPart = { raw: readonly (readonly unknown[])[]; full: boolean };

/** Sorts spans of a kind into groups, by what some of their columns hold. A group is a small number. */
export class SpanGroups {
  readonly #by: readonly string[];
  readonly #keys: readonly Key[];
  readonly #limit: number;
  /** By group of the columns so far and the next column's key: nodes, of which those of the last column are groups. */
  readonly #nodes = new IdTable();
  readonly #groupOf: number[] = [];
  /** By group: the key of each of its columns. */
  readonly #groups: (readonly number[])[] = [];
  #full = false;

  /** At most `limit` groups; what is beyond shares one more, numbered `limit`. */
  constructor(spans: Spans, by: readonly string[], limit: number) {
    this.#limit = limit;
    this.#by = by;
    this.#keys = by.map((name) => keyOf(spans.read[name] as Reader, limit));
  }

  /** The group of span `k`. */
  of(k: number): number {
    let node = 0;
    for (const key of this.#keys) node = this.#step(node, key.of(k));
    const known = this.#groupOf[node] ?? -1;
    return known >= 0
      ? known
      : this.#group(
          node,
          this.#keys.map((key) => key.of(k)),
        );
  }

  /** What the columns of groups hold, as far as it is known by now, and which groups hold that: undefined for the one of what was too much. */
  rows(): { cells: readonly unknown[] | undefined; groups: number[] }[] {
    const rows = new Map<string, { cells: readonly unknown[]; groups: number[] }>();
    this.#groups.forEach((keys, group) => {
      const cells = keys.map((key, n) => (this.#keys[n] as Key).cell(key));
      const name = JSON.stringify(cells);
      const row = rows.get(name);
      if (row === undefined) rows.set(name, { cells, groups: [group] });
      else row.groups.push(group);
    });
    return [...rows.values(), { cells: undefined, groups: [this.#limit] }];
  }

  part(): GroupsPart {
    const raw = this.#groups.map((keys) => keys.map((key, n) => (this.#keys[n] as Key).raw(key)));
    return { raw, full: this.#full };
  }

  /** Takes over the groups of the stretch that follows; gives what each of them is here. `idOf` is as `Joining.join` gives it. */
  join({ raw }: GroupsPart, idOf: (column: string, id: number) => number): (group: number) => number {
    const groups = raw.map((values) => {
      const keys = values.map((value, n) =>
        (this.#keys[n] as Key).take(value, (id) => (id < 0 ? id : idOf(this.#by[n] as string, id))),
      );
      const node = keys.reduce((node, key) => this.#step(node, key), 0);
      const known = this.#groupOf[node] ?? -1;
      return known >= 0 ? known : this.#group(node, keys);
    });
    return (group) => groups[group] ?? this.#limit;
  }

  /** From a node to the one for a further column's key; -1 where there are too many. */
  #step(node: number, key: number): number {
    if (node < 0) return -1;
    const known = this.#nodes.find(node, key);
    if (known < 0 && this.#nodes.size >= this.#limit * this.#keys.length) return -1;
    return (known >= 0 ? known : this.#nodes.id(node, key)) + 1;
  }

  #group(node: number, keys: readonly number[]): number {
    if (node < 0 || this.#groups.length === this.#limit) {
      this.#full = true;
      return this.#limit;
    }
    while (this.#groupOf.length <= node) this.#groupOf.push(-1);
    this.#groupOf[node] = this.#groups.length;
    return this.#groups.push(keys) - 1;
  }
}

/** Gives a small number to each value of a column. */
type Key = {
  of(k: number): number;
  /** What a cell holds; and what tells that, in a form that can be handed over and taken elsewhere. */
  cell(key: number): unknown;
  raw(key: number): unknown;
  take(raw: unknown, idOf: (id: number) => number): number;
};

function keyOf(reader: Reader, limit: number): Key {
  if (typeof reader === 'function') return valueKey(reader, limit);
  if ('low' in reader) return addressKey(reader, limit);
  const id = (key: number) => key - 1;
  const take: Key['take'] = (raw, idOf) => idOf(raw as number) + 1;
  if ('of' in reader) return { of: (k) => reader.of(k) + 1, cell: (key) => reader.value(id(key)), raw: id, take };
  return { of: (k) => reader.id(k) + 1, cell: (key) => (key === 0 ? '' : reader.name(id(key))), raw: id, take };
}

function valueKey(reader: (k: number) => unknown, limit: number): Key {
  const ids = new Map<unknown, number>();
  const values: unknown[] = [];
  const take = (value: unknown) => {
    let id = ids.get(value);
    if (id === undefined) {
      id = ids.size;
      if (id < limit) {
        ids.set(value, id);
        values.push(value);
      }
    }
    return id;
  };
  return { of: (k) => take(reader(k)), cell: (key) => values[key], raw: (key) => values[key], take };
}

function addressKey(reader: HexReader, limit: number): Key {
  const ids = new IdTable();
  const key = (high: number, low: number) => {
    const known = ids.find(high, low);
    return known >= 0 ? known + 1 : ids.size < limit ? ids.id(high, low) + 1 : limit + 1;
  };
  return {
    of: (k) => (reader.known?.(k) === false ? 0 : key(reader.high(k), reader.low(k))),
    cell: (key) => (key === 0 ? '' : hex64(ids.high(key - 1), ids.low(key - 1))),
    raw: (key) => (key === 0 ? undefined : [ids.high(key - 1), ids.low(key - 1)]),
    take: (raw) => (raw === undefined ? 0 : key(...(raw as [high: number, low: number]))),
  };
}

/** A cell as people read it; '' where it is not known. */
export function cellText(cell: unknown): string {
  if (cell === undefined || cell === -1) return '';
  return typeof cell === 'string' ? cell : String(cell);
}
