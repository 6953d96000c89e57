import {
  type Interrupts,
  interrupt,
  type OpenInterrupt,
  type TimerLateness,
  type Unaccepted,
} from '../spans/kinds/interrupt.ts';
import { type Stats, Summary } from '../spans/summary.ts';
import { vectorName } from '../spans/vector.ts';
import { wholeOf } from '../trace/analysis.ts';
import type { Subject } from './conditions.ts';
import { measured } from './figures.ts';
import type { Heat } from './heatmap.ts';
import { KindView } from './kind-view.ts';
import { SpanGroups } from './span-groups.ts';
import { SpanView } from './span-view.ts';

export type InterruptsOptions = {
  heatmap?: boolean | undefined;
  slow?: number | undefined;
  than?: number | undefined;
};

/** What passed on the way from one point to the next, of those of which both are known. */
export type InterruptStages = { all: Stats; sent: Stats; waited: Stats; entering: Stats; handled: Stats };

export type InterruptRow = InterruptStages & { vector: number; kind: string; device: string };

/** IPIs from one vCPU to another. */
export type IpiCell = InterruptStages & { from: number; to: number; pid: number };

export type SlowInterrupt = {
  begin: number;
  duration: number;
  vcpu: number;
  vector: number;
  kind: string;
  device: string;
  from: number;
  sent: number;
  waited: number;
  entering: number;
  handled: number;
};

export type InterruptsResult = {
  rows: InterruptRow[];
  all: InterruptStages;
  ipis: IpiCell[];
  heat: Heat | undefined;
  slow: SlowInterrupt[] | undefined;
  over: number;
  open: (OpenInterrupt & { age: number })[];
  unaccepted: Unaccepted[];
  timers: TimerLateness[];
  /** Accepted again before the guest saw the first; left out as events may be missing from them. */
  merged: number;
  straddling: number;
  told: Interrupts['told'];
  seen: boolean;
  duration: number;
};

/** What conditions can be about: all interrupts, and those of a vector or a kind. */
export function interruptSubjects({ all, rows, duration }: InterruptsResult): Subject[] {
  const of = (name: string | undefined, stats: Stats): Subject => ({
    kind: 'interrupt',
    name,
    measured: measured(stats, all.all.total, duration / 1e9),
  });
  return [of(undefined, all.all), ...rows.map((row) => of(vectorName(row.vector), row.all))];
}

const stages = ['all', 'sent', 'waited', 'entering', 'handled'] as const;
const maxGroups = 4096;

class Sums {
  readonly by = stages.map(() => new Summary());

  add(lengths: readonly number[]): void {
    lengths.forEach((length, n) => {
      if (length >= 0) (this.by[n] as Summary).add(length);
    });
  }

  merge(other: Sums): this {
    this.by.forEach((summary, n) => {
      summary.merge(other.by[n] as Summary);
    });
    return this;
  }

  result(): InterruptStages {
    const [all, sent, waited, entering, handled] = this.by.map((summary) => summary.result()) as [
      Stats,
      Stats,
      Stats,
      Stats,
      Stats,
    ];
    return { all, sent, waited, entering, handled };
  }
}

/** Everything that `virtap interrupts` answers, in one pass. */
export class InterruptsView extends KindView<Interrupts> {
  readonly #groups = new SpanGroups(this.spans, ['vector', 'kind', 'device'], maxGroups);
  readonly #pairs = new SpanGroups(this.spans, ['from', 'vcpu', 'pid'], maxGroups);
  readonly #sums: (Sums | undefined)[] = [];
  readonly #ipis: (Sums | undefined)[] = [];
  readonly #view: SpanView<SlowInterrupt & { origin: number }>;

  constructor(options: InterruptsOptions = {}) {
    super(interrupt, interrupt.start());
    this.#view = new SpanView(options);
  }

  protected override take(): void {
    const { spans, read } = this.spans;
    for (let k = 0; k < spans.count; k++) {
      const lengths = [spans.duration, spans.sent, spans.waited, spans.entering, spans.handled].map(
        (column) => column[k] as number,
      );
      const from = spans.from[k] as number;
      addTo(this.#sums, this.#groups.of(k), lengths);
      if (from >= 0) addTo(this.#ipis, this.#pairs.of(k), lengths);
      const [duration, sent, waited, entering, handled] = lengths as [number, number, number, number, number];
      const begin = spans.begin[k] as number;
      if (this.#view.slowest?.admits(duration, begin) !== true) continue;
      this.#view.slowest.add({
        begin,
        duration,
        vcpu: this.spans.vcpu(spans.vcpu[k] as number).number,
        vector: spans.vector[k] as number,
        kind: read.kind.name(spans.kind[k] as number),
        device: '',
        origin: spans.origin[k] as number,
        from,
        sent,
        waited,
        entering,
        handled,
      });
    }
    this.#view.draw(spans, this.window?.from ?? 0);
  }

  result(): InterruptsResult {
    const all = new Sums();
    const rows = this.#groups.rows().flatMap(({ cells = [-1, 'others', ''], groups }): InterruptRow[] => {
      const sums = merged(this.#sums, groups);
      if (sums === undefined) return [];
      all.merge(sums);
      const [vector, kind, device] = cells as [number, string, string];
      return [{ vector, kind, device, ...sums.result() }];
    });
    const ipis = this.#pairs.rows().flatMap(({ cells = [-1, -1, -1], groups }): IpiCell[] => {
      const sums = merged(this.#ipis, groups);
      const [from, to, pid] = cells as [number, number, number];
      return sums === undefined ? [] : [{ from, to, pid, ...sums.result() }];
    });
    const { from, to } = this.window ?? wholeOf(this.trace);
    return {
      rows: rows.sort((a, b) => b.all.count - a.all.count || a.vector - b.vector),
      all: all.result(),
      ipis: ipis.sort((a, b) => a.pid - b.pid || a.from - b.from || a.to - b.to),
      heat: this.#view.heat(),
      slow: this.#view.slowest?.result().map(({ origin, ...one }) => ({
        ...one,
        device: origin < 0 ? '' : this.spans.read.device.name(origin),
      })),
      over: this.#view.slowest?.over ?? 0,
      open: this.spans.unfinished().map((one) => ({ ...one, age: to - one.begin })),
      unaccepted: this.spans.unaccepted(),
      timers: this.spans.lateness(),
      merged: this.spans.merged,
      straddling: this.spans.straddling,
      told: this.spans.told,
      seen: this.seen,
      duration: to - from,
    };
  }
}

function addTo(table: (Sums | undefined)[], at: number, lengths: readonly number[]): void {
  table[at] ??= new Sums();
  table[at].add(lengths);
}

function merged(table: readonly (Sums | undefined)[], groups: readonly number[]): Sums | undefined {
  return groups.reduce<Sums | undefined>((sum, group) => {
    const one = table[group];
    return one === undefined ? sum : (sum ?? new Sums()).merge(one);
  }, undefined);
}
