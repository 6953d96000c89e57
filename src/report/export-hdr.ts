import { build, type Histogram, HistogramLogWriter } from 'hdr-histogram-js';
import { type ExportSource, numberOf, type SpanRow, type SpanWriter, textOf } from './span-rows.ts';

/** Length of an interval of the log, in ns. */
const interval = 1e9;
/** Tags of the log; further reasons share one. */
const maxTags = 256;

/**
 * Durations as an HdrHistogram log (version 1.3): for each second, by the end of the spans, one histogram for each group of each kind: exits of a reason,
 * requests of a queue, waits at a call site. Three significant digits, in ns; the interval's maximum is printed in µs, as that is the format's custom.
 */
export function hdrSpans(source: ExportSource): SpanWriter {
  if (source.clock.unit !== 'ns')
    throw new RangeError('an HdrHistogram log has times in ns, which the clock does not count');
  let text = '';
  const writer = new HistogramLogWriter((line) => {
    text += line;
  });
  writer.outputComment('[Logged with virtap; values in ns]');
  writer.outputLogFormatVersion();
  writer.outputLegend();
  let histograms = new Map<string, Histogram>();
  let begin = Number.NaN;
  const flush = (end: number) => {
    for (const [tag, histogram] of histograms) {
      // A reset takes the tag away, too.
      histogram.tag = tag;
      if (histogram.totalCount > 0) writer.outputIntervalHistogram(histogram, seconds(begin), seconds(end));
      histogram.reset();
    }
  };
  const seconds = (offset: number) => Number(source.origin / 1000n) / 1e6 + offset / 1e9;
  return {
    rows: (rows) => {
      for (const row of rows) {
        const end = row.begin + row.duration;
        if (Number.isNaN(begin)) begin = row.begin;
        if (end >= begin + interval) {
          flush(begin + interval);
          begin += interval * Math.floor((end - begin) / interval);
        }
        const tag = tagOf(row);
        const key = histograms.has(tag) || histograms.size < maxTags ? tag : 'others';
        let histogram = histograms.get(key);
        if (histogram === undefined) {
          histogram = build({ bitBucketSize: 32, autoResize: true, numberOfSignificantValueDigits: 3 });
          histograms.set(key, histogram);
        }
        histogram.recordValue(row.duration);
      }
      const written = text;
      text = '';
      return written;
    },
    end: () => {
      flush(begin + interval);
      histograms = new Map();
      return text;
    },
  };
}

/** A tag has no commas, blanks or line ends. */
function tagOf(row: SpanRow): string {
  const { kind } = row;
  const which = kind.by.map((name) => textOf(row, name) || String(numberOf(row, name)).replace(/^-1$/, ''));
  const words = which.filter((word) => word !== '').map((word) => word.replace(/[^\w.:()/-]/g, '_'));
  return [kind.word, ...words].join(':');
}
