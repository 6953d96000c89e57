import { TraceError } from '../trace/error.ts';
import type { Trace } from '../trace/trace.ts';
import { recordQemu } from '../views/questions.ts';

/** Refuses a trace without pops or fills of virtqueues; `cannot` says what it can therefore not tell, `seen` how many events of each name there were. */
export function needPopsAndFills(trace: Trace, seen: ReadonlyMap<string, number>, cannot: string): void {
  const lacking = ['virtqueue_pop', 'virtqueue_fill'].filter((name) => (seen.get(name) ?? 0) === 0);
  if (lacking.length === 0) return;
  const held = [...new Set(trace.types.map((type) => type.name.split(':', 1)[0]))].slice(0, 8).join(', ');
  throw new TraceError(
    trace.file,
    `has no ${lacking.join(' and no ')} event, so it cannot tell ${cannot} (it holds ${held === '' ? 'no events' : `events of ${held}`}${trace.damage === undefined ? '' : ', and is damaged'})`,
    undefined,
    `a recording of both, such as ${recordQemu[0]}`,
  );
}
