import { isStretch } from '../trace/analysis.ts';
import { timestamp } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import type { Reading } from '../views/reading.ts';
import { duration } from './units.ts';

/** What is asked of a trace, as far as its stretch is concerned. */
type Asked = { trace: Pick<Trace, 'origin' | 'clock'>; reading: Reading };

/** That nothing of a kind is in the stretch which was asked for, which is an answer; `none` is what there is not: `no exit`. */
export function noneThere(none: string, { trace, reading }: Asked): string {
  const { from, to } = reading.window;
  const { unit } = trace.clock;
  if (!isStretch(reading.window)) return `${none} in it`;
  const [begin, end] = [from, to].map((time) => timestamp(trace.origin, time, unit));
  return `${none} from ${begin} to ${end}${unit === 'ns' ? ` (${duration(to - from)})` : ''}; the recording holds more than this`;
}

/** The same as a paragraph. */
export function noneText(none: string, asked: Asked): string {
  const sentence = noneThere(none, asked);
  return `${sentence[0]?.toUpperCase()}${sentence.slice(1)}.\n`;
}
