import { grown } from '../trace/grown.ts';

const arrays = { f64: Float64Array, i32: Int32Array, u32: Uint32Array, u8: Uint8Array };

/** The columns of a table by name, and what each value is stored as. */
export type Schema = { readonly [column: string]: keyof typeof arrays };

/** The arrays of a table: row `k` of each belongs to span `k`. They may be longer than the table. */
export type Arrays<S extends Schema> = { [Name in keyof S]: InstanceType<(typeof arrays)[S[Name]]> };

/** Spans as columns. Valid until the next batch, where a batch fills it. */
export class Table<S extends Schema = Schema> {
  count = 0;
  readonly #names: readonly string[];

  constructor(schema: S, capacity: number) {
    this.#names = Object.keys(schema);
    for (const name of this.#names) this.#set(name, new arrays[schema[name] as keyof typeof arrays](capacity));
  }

  get capacity(): number {
    return this.#get(this.#names[0] as string).length;
  }

  /** Makes room for so many rows. What the table held is gone: to be called before it is filled. */
  reserve(capacity: number): void {
    if (this.capacity >= capacity) return;
    for (const name of this.#names) {
      const column = this.#get(name);
      this.#set(name, new (column.constructor as new (length: number) => typeof column)(capacity));
    }
  }

  /** The place of a new row, for which there is room. */
  add(): number {
    if (this.count === this.capacity) {
      for (const name of this.#names) this.#set(name, grown(this.#get(name)));
    }
    return this.count++;
  }

  /** Keeps only the rows for which `keep` holds. */
  filter(keep: (k: number) => boolean): void {
    let n = 0;
    for (let k = 0; k < this.count; k++) {
      if (!keep(k)) continue;
      if (n !== k) {
        for (const name of this.#names) {
          const column = this.#get(name);
          column[n] = column[k] as number;
        }
      }
      n++;
    }
    this.count = n;
  }

  /** The rows alone, as plain arrays of their own, which can be handed to another thread. */
  copy(): Arrays<S> {
    return Object.fromEntries(this.#names.map((name) => [name, this.#get(name).slice(0, this.count)])) as Arrays<S>;
  }

  #get(name: string): Arrays<Schema>[string] {
    return Reflect.get(this, name) as Arrays<Schema>[string];
  }

  #set(name: string, column: Arrays<Schema>[string]): void {
    Reflect.set(this, name, column);
  }
}

/**
 * A class of tables with these columns, which are its properties: `class HopSpans extends tableOf({ begin: 'f64', … })`. Loops take
 * the columns out of the table first, after `reserve`.
 */
export function tableOf<const S extends Schema>(schema: S): new (capacity?: number) => Table<S> & Arrays<S> {
  class Columns extends Table<S> {
    constructor(capacity = 64) {
      super(schema, capacity);
    }
  }
  return Columns as new (
    capacity?: number,
  ) => Columns & Arrays<S>;
}
