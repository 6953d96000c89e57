import type { Analysis, Window } from '../trace/analysis.ts';
import { hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';

/** An address, or other 64 bits, as `0x…` without leading zeros: exact, as no number would be. Compare and join it as text; `BigInt` takes it. */
export type Hex = `0x${string}`;

/**
 * What a column of a kind of span holds. `time` is a moment, from the trace's first event, and `length` how long something took: ns, or ticks where nobody knows how long
 * these are. A `number` is -1, a `text` or `hex` '' where it is not known. `detail` is more than one value: for programs, not for tables.
 */
export type Column<Value = unknown> = {
  readonly type: 'time' | 'length' | 'number' | 'text' | 'hex' | 'flag' | 'detail';
  /** What it means, in one line. */
  readonly meaning: string;
  /** Of a number that may be negative: then none is unknown. */
  readonly signed?: true;
  /** The name that it had before: rows have it, too, in this version. */
  readonly was?: string;
  /** For types alone: what a row holds. */
  readonly value?: Value;
};

export type Columns = { readonly [name: string]: Column } & {
  readonly begin: Column<number>;
  readonly duration: Column<number>;
};

export const time = (meaning: string): Column<number> => ({ type: 'time', meaning });
export const length = (meaning: string): Column<number> => ({ type: 'length', meaning });
export const number = (meaning: string): Column<number> => ({ type: 'number', meaning });
export const signed = (meaning: string): Column<number> => ({ type: 'number', meaning, signed: true });
/** A column under its new name; rows have it under the old one, too, in this version. */
export const renamed = <C extends Column, const Old extends string>(column: C, was: Old): C & { was: Old } => ({
  ...column,
  was,
});
export const text = (meaning: string): Column<string> => ({ type: 'text', meaning });
export const hex = (meaning: string): Column<Hex | ''> => ({ type: 'hex', meaning });
export const flag = (meaning: string): Column<boolean> => ({ type: 'flag', meaning });
export const detail = <T>(meaning: string): Column<T> => ({ type: 'detail', meaning });

/** When something began, from the trace's first event, and how long it took: in ns, or in ticks where nobody knows how long these are. */
export type Span = { begin: number; duration: number };

/** A span as an object, for who wants one: a script, a slow log, an export. */
export type RowOf<C extends Columns> = { -readonly [Name in keyof C]: ValueOf<C[Name]> } & {
  -readonly [Name in keyof C as C[Name] extends { was: infer Old extends string } ? Old : never]: ValueOf<C[Name]>;
};
type ValueOf<C> = C extends Column<infer Value> ? Value : never;

/** How a column is read from span `k`. Texts and addresses are read without making strings of them, too. */
export type TextReader = { id(k: number): number; name(id: number): string };
export type HexReader = {
  low(k: number): number;
  high(k: number): number /** Whether there is one; there is, where this is not given. */;
  known?(k: number): boolean;
};
/** Of a thread, say, of which more may come to be known: `value` is what is known by now. */
export type OwnerReader<Value = unknown> = { of(k: number): number; value(of: number): Value };
export type Reader = ((k: number) => unknown) | TextReader | HexReader | OwnerReader;

type ReaderOf<C> =
  C extends Column<infer Value>
    ? [Value] extends [Hex | '']
      ? HexReader
      : [Value] extends [string]
        ? TextReader
        : ((k: number) => Value) | OwnerReader<Value>
    : never;

export type Readers<C extends Columns> = {
  readonly [Name in keyof C]: Name extends 'begin' | 'duration' ? (k: number) => number : ReaderOf<C[Name]>;
};

/** Spans of one kind as they come out of a trace's events. */
export interface Spans<C extends Columns = Columns> extends Analysis {
  /** The stretch of the recording that is asked about: spans that begin before it are not given. Of the events before it, it learns what is the case. */
  within(window: Window): void;
  /** Whether any event came that a span can begin or end with. */
  readonly seen: boolean;
  /** Spans that ended with the batch taken last, in the order of their ends. */
  readonly count: number;
  /** Reads the columns of span `k` of these. */
  readonly read: Readers<C>;
  /** Index in the batch of the event that span `k` ended with; they ascend. */
  endsAt(k: number): number;
  /** The spans that have not ended, with what is known of them, the oldest first. */
  open(): Iterable<Partial<RowOf<C>> & { begin: number }>;
  /** Undefined for a kind whose spans cannot be joined of those of several stretches: it is read in one go. */
  readonly joining?: Joining;
}

/**
 * How the spans of a stretch of a recording are joined with those of the stretch that follows: `Joinable`, but that what is handed over is the kind's own affair. An end without
 * its beginning, an open span, and what hangs on who is which are kept by key, so that a join takes time with the threads, queues or keys that there are, and not with the events.
 */
export type Joining = {
  inMiddle?(): void;
  part(): unknown;
  accepts(part: unknown): boolean;
  /**
   * Afterwards `count` and `read` are about the spans that ended, or came to be known, because the two were joined; `endsAt` says nothing of them. Gives what the ids of a column
   * of text, or of owners, in that stretch are here.
   */
  join(trace: Trace, part: unknown): (column: string, id: number) => number;
};

/** Events of a running machine: by patterns, and for what virtap's commands learn from. */
export type Wanted = {
  patterns?: readonly string[];
  purposes?: readonly ('exits' | 'leaks' | 'requests' | 'locks' | 'wakes' | 'interrupts')[];
};

/** A kind of span. What stands here is all that statistics, heat maps, logs, exports, scripts and comparisons know of it. */
export type SpanKind<C extends Columns = Columns> = {
  /** Of scripts' handlers, and in the library: `lockWait`. */
  readonly name: string;
  /** In rows, conditions and sentences, where what is around says the rest: `wait`; and of several: `waits`. */
  readonly word: string;
  readonly plural: string;
  /** What it is, in one line: from which event to which. */
  readonly meaning: string;
  /** The events that it needs, for a sentence; and what a running machine is to be asked for. */
  readonly needs: string;
  readonly wanted: Wanted;
  readonly columns: C;
  /** The columns that its spans are grouped by where nobody says. */
  readonly by: readonly (string & keyof C)[];
  /** A flag: spans that have it are told apart in sums, as they are nobody's fault. */
  readonly apart?: string & keyof C;
  /** There are several times as many of them as of other kinds, or other kinds have them already: an export has them only where they are asked for, or have a track. */
  readonly frequent?: true;
  start(): Spans<C>;
};

/** What a reader reads of span `k`. */
export function cellOf(reader: Reader, k: number): unknown {
  if (typeof reader === 'function') return reader(k);
  if ('of' in reader) return reader.value(reader.of(k));
  if ('low' in reader) return reader.known?.(k) === false ? '' : hex64(reader.high(k), reader.low(k));
  const id = reader.id(k);
  return id < 0 ? '' : reader.name(id);
}

/** Makes an object of span `k`, with a property for each column. */
export function rowOf<C extends Columns>(
  { columns }: Pick<SpanKind<C>, 'columns'>,
  spans: Spans<C>,
  k: number,
): RowOf<C> {
  const row: { [name: string]: unknown } = {};
  for (const name in columns) {
    const column = columns[name] as Column;
    const value = cellOf(spans.read[name] as Reader, k);
    row[name] = value;
    if (column.was !== undefined) row[column.was] = value;
  }
  return row as RowOf<C>;
}
