import { timestamps } from '../trace/time-stamp.ts';
import { csvRow } from './csv.ts';
import { escapeJson } from './escape.ts';
import { type ExportSource, rowColumns, type SpanWriter, unitOf } from './span-rows.ts';

type Cell = string | number | boolean | undefined;

/** One row a span as CSV (RFC 4180). */
export function csvSpans(source: ExportSource): SpanWriter {
  return lines(
    source,
    (names) => csvRow(names),
    (cells) => csvRow(cells.map((cell) => (typeof cell === 'boolean' ? String(cell) : cell))),
  );
}

/** One JSON object a span, each on its line. */
export function jsonLinesSpans(source: ExportSource): SpanWriter {
  return lines(
    source,
    () => '',
    (cells, names) =>
      `${escapeJson(JSON.stringify(Object.fromEntries(names.map((name, i) => [name, cells[i] ?? null]))))}\n`,
  );
}

function lines(
  source: ExportSource,
  header: (names: readonly string[]) => string,
  line: (cells: readonly Cell[], names: readonly string[]) => string,
): SpanWriter {
  const columns = rowColumns(source.kinds, unitOf(source));
  const names = ['kind', 'time', ...columns.map(({ name }) => name)];
  let begun = false;
  let stamp = (_offset: number) => '';
  const begin = () => {
    if (begun) return '';
    begun = true;
    stamp = timestamps(source.origin, source.clock.unit);
    return header(names);
  };
  return {
    rows: (rows) => {
      let text = begin();
      for (const row of rows) {
        text += line([row.kind.word, stamp(row.begin), ...columns.map(({ of }) => of(row))], names);
      }
      return text;
    },
    end: begin,
  };
}
