import type { ValueHistogram } from '../views/value-octaves.ts';
import { shownRows, unitOf } from './answer.ts';
import { rowsTable } from './columns.ts';
import {
  type BucketLine,
  bucketColumns,
  type CountAnswer,
  type CountLine,
  countFigures,
  countLines,
  countNames,
  countScope,
} from './count-columns.ts';
import { noneText } from './empty-stretch.ts';
import { escapeText } from './escape.ts';
import { heatStrips } from './heat-strips.ts';
import { remarks } from './remarks.ts';
import type { Terminal } from './terminal.ts';
import { count, lengths, plural, rate } from './units.ts';

/** Columns that the longest bar of a histogram takes. */
const barWidth = 40;

/** The whole answer as text. */
export function countText(answer: CountAnswer, terminal: Terminal): string {
  const { result, reading, by, hist } = answer;
  const scope = countScope(answer);
  const parts = [heading(answer, terminal)];
  if (result.count === 0) parts.push(noneText('no such event', answer));
  else {
    if (by.length > 0) parts.push(...rowsText(answer, terminal));
    if (result.histogram !== undefined) {
      const { histogram } = result;
      const title = terminal.style('strong', `${escapeText(hist ?? '')} by size`);
      const lines = bucketLines(histogram, terminal.unicode ? '█' : '#');
      parts.push(`${title}\n${rowsTable(bucketColumns, lines, scope, terminal)}${spread(histogram, terminal)}`);
    }
  }
  const closing = remarks(reading, terminal, 'What was lost is not counted.');
  if (closing !== '') parts.push(closing);
  return parts.join('\n');
}

function heading({ trace, result, events, reading }: CountAnswer, terminal: Terminal): string {
  const title = terminal.style('heading', escapeText(trace.file));
  const counted = plural(result.count, 'event');
  const timed = trace.clock.unit !== 'none' && reading.events > 0;
  const within = timed ? ` in ${lengths(unitOf(trace)).long(result.duration)}` : '';
  const often =
    trace.clock.unit === 'ns' && result.duration > 0 ? `, ${rate(result.count / (result.duration / 1e9))}` : '';
  return `${title}\n  ${counted}: ${escapeText(events.join(', '))}${within}${often}\n`;
}

function rowsText(answer: CountAnswer, terminal: Terminal): string[] {
  const { result, by, top } = answer;
  const scope = countScope(answer);
  const all = countLines(answer);
  const shown = all.slice(0, top ?? shownRows);
  const none = by.map(() => undefined);
  const line = (name: string, n: number, sum?: true): CountLine => ({
    group: none,
    names: [name, ...by.slice(1).map(() => '')],
    count: n,
    over: undefined,
    ...(sum && { sum }),
  });
  const rest = result.rows.length - shown.length;
  const restCount = result.count - result.others - shown.reduce((sum, { count }) => sum + count, 0);
  const rows = [
    ...shown,
    ...(rest > 0 ? [line(`${count(rest)} more`, restCount)] : []),
    ...(result.others > 0 ? [line('not told apart', result.others)] : []),
  ];
  const lines = rows.length > 1 ? [...rows, line('all', result.count, true)] : rows;
  const table = rowsTable([...countNames(by), ...countFigures], lines, scope, terminal, ({ sum }) =>
    sum ? 'strong' : undefined,
  );
  const note =
    rest > 0 && top === undefined
      ? terminal.style('dim', '--top shows as many as you like; --csv and --json have all.\n')
      : '';
  const parts = [table + note];
  if (result.timeline !== undefined) {
    const strips = shown.flatMap(({ names, over }) =>
      over === undefined ? [] : [{ name: escapeText(names.join(' ')), counts: over }],
    );
    parts.push(
      `${terminal.style('strong', 'Over time')}\n${heatStrips(strips, result.timeline, terminal, scope.unit)}`,
    );
  }
  return parts;
}

/** The histogram's lines, with bars. */
export function bucketLines({ buckets, count }: ValueHistogram, bar = '#'): BucketLine[] {
  const most = Math.max(1, ...buckets.map((bucket) => bucket.count));
  return buckets.map((bucket) => ({
    ...bucket,
    share: bucket.count / count,
    bar: bar.repeat(Math.ceil((bucket.count / most) * barWidth)),
  }));
}

function spread({ count: n, without, least, greatest, mean }: ValueHistogram, terminal: Terminal): string {
  const lines =
    n === 0
      ? ['None of them has a number there.']
      : [
          `${plural(n, 'number')} from ${count(BigInt(least as string))} to ${count(BigInt(greatest as string))}, ${Number(mean.toPrecision(6))} on average.`,
        ];
  if (n > 0 && without > 0) lines.push(`${plural(without, 'event')} without a number there.`);
  return lines.map((line) => `${terminal.style('dim', line)}\n`).join('');
}
