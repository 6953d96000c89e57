import type { Column, SpanKind } from '../spans/kind.ts';

/** One span as a row of an export: its kind, and its columns by name. Times are of the trace's clock, in ns unless it counts ticks. */
export type SpanRow = { kind: SpanKind; begin: number; duration: number; cells: Readonly<Record<string, unknown>> };

/** A number of a row, -1 where it has none or it is not known; a text likewise, ''. */
export function numberOf({ cells }: SpanRow, name: string): number {
  const cell = cells[name];
  return typeof cell === 'number' ? cell : -1;
}
export function textOf({ cells }: SpanRow, name: string): string {
  const cell = cells[name];
  return typeof cell === 'string' ? cell : '';
}

/** A column of a table of rows of several kinds. */
export type RowColumn = {
  /** With the unit: `begin_ns`. */
  name: string;
  type: Exclude<Column['type'], 'detail'>;
  /** The value, undefined where the row has none or it is not known. */
  of(row: SpanRow): string | number | boolean | undefined;
};

/** Columns that many kinds have come first, in this order. */
const first = ['begin', 'duration', 'cpu', 'tid', 'pid', 'vcpu'];

/** The columns of a table of spans of these kinds: those that several have stand once. */
export function rowColumns(kinds: readonly SpanKind[], unit: 'ns' | 'ticks'): RowColumn[] {
  const columns = new Map<string, Column>();
  for (const kind of kinds) {
    for (const [name, column] of Object.entries(kind.columns)) if (!columns.has(name)) columns.set(name, column);
  }
  const place = (name: string) => (first.includes(name) ? first.indexOf(name) : first.length);
  return [...columns]
    .sort(([a], [b]) => place(a) - place(b))
    .flatMap(([name, { type, signed }]): RowColumn[] => {
      if (type === 'detail') return [];
      const of = ({ cells }: SpanRow) => {
        const cell = cells[name];
        if (typeof cell === 'boolean') return cell;
        if (typeof cell === 'number') return cell === -1 && signed !== true ? undefined : cell;
        return typeof cell === 'string' && cell !== '' ? cell : undefined;
      };
      return [{ name: columnName(name, type, unit), type, of }];
    });
}

/** What a column is called where it stands for itself: `in_num`, `begin_ns`. */
export function columnName(name: string, type: Column['type'], unit: 'ns' | 'ticks' | 'cycles'): string {
  const words = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return type === 'time' || type === 'length' ? `${words}_${unit}` : words;
}

/** Writes rows in one of the forms of `virtap export`. */
export interface SpanWriter {
  /** Takes rows in the order of their ends (those of states may come later); what has to be written now. */
  rows(rows: readonly SpanRow[]): Uint8Array | string;
  /** What is left to write. */
  end(): Uint8Array | string;
}

/** What a writer knows of the trace. Its threads and origin are known once there are rows. */
export type ExportSource = {
  readonly kinds: readonly SpanKind[];
  readonly origin: bigint;
  readonly clock: { name: string; unit: 'ns' | 'ticks' | 'none' };
  readonly threads: ReadonlyMap<number, { comm: string; pid: number }>;
};

/** The unit of an export's times. */
export function unitOf({ clock }: ExportSource): 'ns' | 'ticks' {
  return clock.unit === 'ns' ? 'ns' : 'ticks';
}
