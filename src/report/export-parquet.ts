import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import { type ExportSource, type RowColumn, rowColumns, type SpanRow, type SpanWriter, unitOf } from './span-rows.ts';

/** Rows in a row group: what a reader takes in at a time, and what is held in memory. */
const groupRows = 100_000;

const utf8 = { type: 'BYTE_ARRAY', converted_type: 'UTF8' } as const;
const types = {
  time: { type: 'INT64' },
  length: { type: 'INT64' },
  number: { type: 'INT64' },
  text: utf8,
  hex: utf8,
  flag: { type: 'BOOLEAN' },
} as const;

/** Spans as an Apache Parquet file. `time` is absolute, the others count from the trace's origin; both in the clock's unit (ns). */
export function parquetSpans(source: ExportSource): SpanWriter {
  const out = new ByteWriter();
  const { name: clock, unit } = source.clock;
  const columns = [
    { name: 'kind', ...utf8, of: ({ kind }: SpanRow) => kind.word },
    { name: 'time', ...types.time, of: (row: SpanRow) => source.origin + BigInt(row.begin) },
    ...rowColumns(source.kinds, unitOf(source)).map((column) => ({
      name: column.name,
      ...types[column.type],
      of: typed(column),
    })),
  ];
  const writer = new ParquetWriter({
    writer: out,
    schema: [
      { name: 'root', num_children: columns.length },
      ...columns.map(({ of: _, ...column }) => ({ ...column, repetition_type: 'OPTIONAL' as const })),
    ],
    kvMetadata: [
      { key: 'clock', value: clock },
      { key: 'unit', value: unit },
    ],
  });
  let group: SpanRow[] = [];
  // What was handed out is forgotten: the footer goes by offsets, which the library counts apart.
  const fresh = () => {
    const bytes = out.getBytes().slice();
    out.index = 0;
    return bytes;
  };
  const flush = () => {
    if (group.length === 0) return;
    const rows = group;
    group = [];
    writer.write({
      columnData: columns.map(({ name, of }) => ({ name, data: rows.map((row) => of(row)) })),
      rowGroupSize: groupRows,
    });
  };
  return {
    rows: (rows) => {
      for (const row of rows) group.push(row);
      if (group.length < groupRows) return '';
      flush();
      return fresh();
    },
    end: () => {
      flush();
      void writer.finish();
      return fresh();
    },
  };
}

/** A column's value as its Parquet type has it. */
function typed({ of }: RowColumn): (row: SpanRow) => string | bigint | boolean | null {
  return (row) => {
    const value = of(row);
    return typeof value === 'number' ? BigInt(Math.round(value)) : (value ?? null);
  };
}
