import { csvRow } from './csv.ts';
import { escapeText } from './escape.ts';
import { type ExportSource, type SpanRow, type SpanWriter, spanColumns } from './span-rows.ts';
import { timestamps } from './units.ts';

const known = (id: number) => (id < 0 ? undefined : id);
const some = (text: string) => (text === '' ? undefined : escapeText(text));

/** A row's values in the order of the columns; what is not known is undefined. */
function values(row: SpanRow, stamp: (offset: number) => string): (string | number | undefined)[] {
  return [
    row.kind,
    stamp(row.begin),
    row.begin,
    row.duration,
    known(row.cpu),
    known(row.tid),
    known(row.pid),
    known(row.vcpu),
    some(row.reason),
    some(row.state),
    some(row.device),
    known(row.queue),
    some(row.operation),
    some(row.vq),
    some(row.elem),
    some(row.mutex),
    some(row.site),
    known(row.holder),
  ];
}

/** One row a span as CSV (RFC 4180). */
export function csvSpans(source: ExportSource): SpanWriter {
  const unit = source.clock.unit === 'ns' ? 'ns' : 'ticks';
  const header = csvRow(
    spanColumns.map((name) => (name === 'begin' || name === 'duration' ? `${name}_${unit}` : name)),
  );
  return lines(source, header, (cells) => csvRow(cells));
}

/** One JSON object a span, each on its line. */
export function jsonLinesSpans(source: ExportSource): SpanWriter {
  const unit = source.clock.unit === 'ns' ? 'ns' : 'ticks';
  const keys = spanColumns.map((name) => (name === 'begin' || name === 'duration' ? `${name}_${unit}` : name));
  return lines(
    source,
    '',
    (cells) => `${JSON.stringify(Object.fromEntries(keys.map((key, i) => [key, cells[i] ?? null])))}\n`,
  );
}

function lines(
  source: ExportSource,
  header: string,
  line: (cells: (string | number | undefined)[]) => string,
): SpanWriter {
  let begun = false;
  let stamp = (_offset: number) => '';
  const begin = () => {
    if (begun) return '';
    begun = true;
    stamp = timestamps(source.origin, source.clock.unit);
    return header;
  };
  return {
    rows: (rows) => {
      let text = begin();
      for (const row of rows) text += line(values(row, stamp));
      return text;
    },
    end: begin,
  };
}
