import type { Terminal } from '../report/terminal.ts';
import type { SortKey } from '../views/figures.ts';
import { Aggregate, type StatsOptions } from './aggregate.ts';
import { countsTable, figuresTable, type TableOptions, type Unit } from './figures-table.ts';
import { asText, type Printable } from './printable.ts';
import { ScriptError } from './script-error.ts';

/** One of the values that something is keyed by. */
export type Key = string | number | bigint | boolean | undefined | null;

/** Keys told apart; what comes under further ones is one. A trace could bring millions. */
const maxKeys = 100_000;

/** Things by one or several values. */
export abstract class Keyed<T extends { merge(other: T): void }> {
  /** What the values mean, in order. */
  readonly by: readonly string[];
  /** Maps within maps: one level a value. */
  readonly #root = new Map<Key, unknown>();
  #size = 0;
  #others: T | undefined;

  constructor(by: string | readonly string[]) {
    this.by = typeof by === 'string' ? [by] : by;
    if (this.by.length === 0) throw new ScriptError('by names no values');
  }

  protected abstract make(): T;

  /** How many keys there are. */
  get size(): number {
    return this.#size + (this.#others === undefined ? 0 : 1);
  }

  /** What there is for these values, made on first sight. Of more keys than 100,000, the further ones are one: `others`. */
  at(...keys: Key[]): T {
    if (keys.length !== this.by.length) {
      throw new ScriptError(
        `keyed by ${this.by.join(', ')}, but given ${keys.length === 1 ? 'one value' : `${keys.length} values`}`,
      );
    }
    let map = this.#root;
    const last = keys.length - 1;
    for (let n = 0; n < last; n++) {
      let inner = map.get(keys[n]) as Map<Key, unknown> | undefined;
      if (inner === undefined) {
        if (this.#size >= maxKeys) return this.#other();
        inner = new Map();
        map.set(keys[n], inner);
      }
      map = inner;
    }
    const known = map.get(keys[last]) as T | undefined;
    if (known !== undefined) return known;
    if (this.#size >= maxKeys) return this.#other();
    const made = this.make();
    map.set(keys[last], made);
    this.#size++;
    return made;
  }

  /** The keys with what there is for them, in the order of first sight. */
  *[Symbol.iterator](): Generator<[keys: Key[], value: T]> {
    yield* walk<T>(this.#root, this.by.length);
    if (this.#others !== undefined) yield [this.by.map(() => 'others'), this.#others];
  }

  /** Takes over what another has, which stays as it was. */
  merge(other: Keyed<T>): void {
    for (const [keys, value] of other) {
      if (value === other.#others) this.#other().merge(value);
      else this.at(...keys).merge(value);
    }
  }

  /** Forgets all: for figures of an interval. */
  clear(): void {
    this.#root.clear();
    this.#size = 0;
    this.#others = undefined;
  }

  toString(): string {
    return asText(this.table());
  }

  abstract table(options?: TableOptions): Printable;

  /** The first rows of the table, sorted by a column. */
  top(rows: number, sort?: SortKey): Printable {
    return this.table(sort === undefined ? { rows } : { rows, sort });
  }

  print(terminal: Terminal, seconds: number): string {
    return this.table().print(terminal, seconds);
  }

  toJSON(): Record<string, unknown>[] {
    return [...this].map(([keys, value]) => ({
      ...Object.fromEntries(
        this.by.map((name, n) => [name, typeof keys[n] === 'bigint' ? String(keys[n]) : (keys[n] ?? null)]),
      ),
      ...(value as { toJSON?(): object }).toJSON?.(),
    }));
  }

  #other(): T {
    this.#others ??= this.make();
    return this.#others;
  }
}

function* walk<T>(map: Map<Key, unknown>, depth: number): Generator<[Key[], T]> {
  for (const [key, value] of map) {
    if (depth === 1) yield [[key], value as T];
    else for (const [keys, inner] of walk<T>(value as Map<Key, unknown>, depth - 1)) yield [[key, ...keys], inner];
  }
}

function names(keys: readonly Key[]): string[] {
  return keys.map((key) => (key === undefined || key === null ? '' : String(key)));
}

/** Statistics by one or several values: `latency.at(reason, vcpu).add(time)`. */
export class KeyedAggregate extends Keyed<Aggregate> implements Printable {
  readonly unit: Unit;
  readonly #options: StatsOptions;

  constructor({ by, ...options }: StatsOptions & { by: string | readonly string[] }) {
    super(by);
    this.#options = options;
    this.unit = options.unit ?? '';
  }

  protected make(): Aggregate {
    return new Aggregate(this.#options);
  }

  /** Takes a value under its keys. */
  add(value: number | bigint, ...keys: Key[]): void {
    this.at(...keys).add(value);
  }

  /** The statistics of all keys as one. */
  all(): Aggregate {
    const all = this.make();
    for (const [, one] of this) all.merge(one);
    return all;
  }

  /** A row for each key, by falling sum where no other column is named. */
  table(options: TableOptions = {}): Printable {
    return {
      print: (terminal, seconds) => {
        const rows = [...this].map(([keys, one]) => ({ names: names(keys), stats: one.figures() }));
        return figuresTable(this.by, rows, this.unit, options, terminal, seconds);
      },
    };
  }
}

/** A number that is counted up. */
export class Counter {
  count = 0;

  add(n = 1): void {
    this.count += n;
  }

  merge(other: Counter): void {
    this.count += other.count;
  }

  toJSON(): { count: number } {
    return { count: this.count };
  }
}

/** Numbers of events by one or several values: `exits.add(reason, vcpu)`. */
export class KeyedCounts extends Keyed<Counter> implements Printable {
  protected make(): Counter {
    return new Counter();
  }

  /** Counts one under its keys. */
  add(...keys: Key[]): void {
    this.at(...keys).add();
  }

  get total(): number {
    let total = 0;
    for (const [, { count }] of this) total += count;
    return total;
  }

  /** A row for each key, by falling count. */
  table(options: TableOptions = {}): Printable {
    return {
      print: (terminal, seconds) => {
        const rows = [...this].map(([keys, { count }]) => ({ names: names(keys), count }));
        return countsTable(this.by, rows, options, terminal, seconds);
      },
    };
  }
}
