import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { ExportSource, SpanRow, SpanWriter } from './span-rows.ts';

/** Rows in a row group: what a reader takes in at a time, and what is held in memory. */
const groupRows = 100_000;

const columns = [
  { name: 'kind', type: 'BYTE_ARRAY', converted_type: 'UTF8', of: (row: SpanRow) => row.kind },
  { name: 'time', type: 'INT64', of: (row: SpanRow, origin: bigint) => origin + BigInt(row.begin) },
  { name: 'begin', type: 'INT64', of: (row: SpanRow) => BigInt(row.begin) },
  { name: 'duration', type: 'INT64', of: (row: SpanRow) => BigInt(row.duration) },
  { name: 'cpu', type: 'INT32', of: (row: SpanRow) => known(row.cpu) },
  { name: 'tid', type: 'INT32', of: (row: SpanRow) => known(row.tid) },
  { name: 'pid', type: 'INT32', of: (row: SpanRow) => known(row.pid) },
  { name: 'vcpu', type: 'INT32', of: (row: SpanRow) => known(row.vcpu) },
  { name: 'reason', type: 'BYTE_ARRAY', converted_type: 'UTF8', of: (row: SpanRow) => some(row.reason) },
  { name: 'state', type: 'BYTE_ARRAY', converted_type: 'UTF8', of: (row: SpanRow) => some(row.state) },
  { name: 'device', type: 'BYTE_ARRAY', converted_type: 'UTF8', of: (row: SpanRow) => some(row.device) },
  { name: 'queue', type: 'INT32', of: (row: SpanRow) => known(row.queue) },
  { name: 'operation', type: 'BYTE_ARRAY', converted_type: 'UTF8', of: (row: SpanRow) => some(row.operation) },
  { name: 'vq', type: 'BYTE_ARRAY', converted_type: 'UTF8', of: (row: SpanRow) => some(row.vq) },
  { name: 'elem', type: 'BYTE_ARRAY', converted_type: 'UTF8', of: (row: SpanRow) => some(row.elem) },
  { name: 'mutex', type: 'BYTE_ARRAY', converted_type: 'UTF8', of: (row: SpanRow) => some(row.mutex) },
  { name: 'site', type: 'BYTE_ARRAY', converted_type: 'UTF8', of: (row: SpanRow) => some(row.site) },
  { name: 'holder', type: 'INT32', of: (row: SpanRow) => known(row.holder) },
] as const;

const known = (id: number) => (id < 0 ? null : id);
const some = (text: string) => (text === '' ? null : text);

/** Spans as an Apache Parquet file. `time` is absolute, `begin` counts from the trace's origin; both in the clock's unit (ns). */
export function parquetSpans(source: ExportSource): SpanWriter {
  const out = new ByteWriter();
  const { name: clock, unit } = source.clock;
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
      columnData: columns.map(({ name, of }) => ({ name, data: rows.map((row) => of(row, source.origin)) })),
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
