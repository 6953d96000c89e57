import { timestamp } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { columnsOf, type Scope } from './columns.ts';

type Timed = { begin: number };
type TracedScope = Scope & { trace: Pick<Trace, 'origin' | 'clock'> };

/** The columns that say when a row began; `meaning` is that of the time stamp, which tables have under the title. */
export const beginKeys = <Row extends Timed, S extends TracedScope>(meaning: string, title?: string) =>
  columnsOf<Row, S>()([
    {
      key: 'time',
      type: 'text',
      ...(title === undefined ? {} : { title }),
      meaning,
      of: ({ begin }, { trace }) => timestamp(trace.origin, begin, trace.clock.unit),
    },
    { key: 'begin', type: 'time', meaning: 'the same from the first event', of: ({ begin }) => begin },
  ]);

/** The column of the CPU on which a row began. */
export const cpuKey = <Row extends { cpu: number }, S extends Scope>(meaning: string) =>
  columnsOf<Row, S>()([
    { key: 'cpu', type: 'number', isId: true, meaning, of: ({ cpu }): number | null => (cpu < 0 ? null : cpu) },
  ]);
