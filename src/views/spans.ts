import {
  type Column,
  type Columns,
  type Joining,
  type OwnerReader,
  rowOf,
  type SpanKind,
  type Spans,
} from '../spans/kind.ts';
import { type Stats, Summary } from '../spans/summary.ts';
import { type Joinable, wholeOf } from '../trace/analysis.ts';
import type { Trace } from '../trace/trace.ts';
import { type Subject, statsSubject } from './conditions.ts';
import type { Heat } from './heatmap.ts';
import { KindView } from './kind-view.ts';
import { cellText, type GroupsPart, SpanGroups } from './span-groups.ts';
import { SpanView, type SpanViewPart } from './span-view.ts';

export type SpansOptions = {
  kind: SpanKind;
  /** The columns to group by; the kind's own where not given. */
  by?: readonly string[] | undefined;
  heatmap?: boolean | undefined;
  slow?: number | undefined;
  than?: number | undefined;
};

/** A span with all that its kind says of it. */
export type SpanCells = { begin: number; duration: number; cells: Readonly<Record<string, unknown>> };

export type SpansResult = {
  kind: SpanKind;
  by: readonly string[];
  /** `group` is what each column of `by` holds; undefined for the rest of what were too many. */
  rows: { group: readonly unknown[] | undefined; stats: Stats }[];
  all: Stats;
  heat: Heat | undefined;
  /** The longest, and how many were over the threshold. */
  slow: SpanCells[] | undefined;
  over: number;
  /** Those that have not ended, the oldest first, with their age at the last event; and how many there are. */
  open: SpanCells[];
  openCount: number;
  /** Whether the recording holds any event that a span can begin or end with. */
  seen: boolean;
};

/** A slow span, and what its columns of owners are read from, of which more may come to be known. */
type SlowSpan = SpanCells & { owners: Readonly<Record<string, number>> };

/** What `SpansView` learnt of a stretch of a recording, as plain data. */
export type SpansPart = { spans: unknown; groups: GroupsPart; view: SpanViewPart<SlowSpan> };

/** Groups told apart; the rest is one. */
const maxGroups = 20_000;
/** Open spans that are listed; all are counted. */
const maxOpen = 1000;

/** What every kind of span is asked: statistics by group, a heat map, the longest, and what has not ended. */
export class SpansView extends KindView<Spans> implements Joinable<SpansPart> {
  readonly options: SpansOptions;
  readonly #by: readonly string[];
  readonly #view: SpanView<SlowSpan>;
  /** The columns of owners. */
  readonly #owners: readonly [name: string, reader: OwnerReader][];
  readonly #groups: SpanGroups;

  constructor(options: SpansOptions) {
    const { kind, by, heatmap, slow, than } = options;
    super(kind, kind.start());
    this.options = options;
    this.#by = by ?? kind.by;
    this.#view = new SpanView({ heatmap, slow, than });
    this.#owners = Object.entries<Spans['read'][string]>(this.spans.read).flatMap(([name, reader]) =>
      typeof reader === 'object' && 'of' in reader ? [[name, reader] as const] : [],
    );
    this.#groups = new SpanGroups(this.spans, this.#by, maxGroups);
  }

  /** Whether what it learns of stretches can be joined. */
  get joins(): boolean {
    return this.spans.joining !== undefined;
  }

  inMiddle(): void {
    this.spans.joining?.inMiddle?.();
  }

  /** The answer so far; after the last batch, `finish` comes first. */
  result(): SpansResult {
    const { kind } = this.options;
    const all = new Summary();
    const rows = this.#groups.rows().flatMap(({ cells, groups }) => {
      const summary = this.#view.merged(groups);
      if (summary.count === 0) return [];
      all.merge(summary);
      return [{ group: cells, stats: summary.result() }];
    });
    const { from, to } = this.window ?? wholeOf(this.trace);
    const open = [...this.spans.open()].filter(({ begin }) => begin >= from);
    return {
      kind,
      by: this.#by,
      rows,
      all: all.result(),
      heat: this.#view.heat(),
      slow: this.#view.slowest?.result().map((span) => this.#told(span)),
      over: this.#view.slowest?.over ?? 0,
      open: open.slice(0, maxOpen).map((cells) => ({ begin: cells.begin, duration: to - cells.begin, cells })),
      openCount: open.length,
      seen: this.seen,
    };
  }

  /** After the last batch: takes the spans that end with the trace. */
  finish(end: number): void {
    if (this.spans.finish === undefined) return;
    this.spans.finish(end);
    this.take();
  }

  part(): SpansPart {
    return { spans: this.spans.joining?.part(), groups: this.#groups.part(), view: this.#view.part() };
  }

  accepts({ spans, groups }: SpansPart): boolean {
    return this.spans.joining?.accepts(spans) === true && !groups.full;
  }

  join(trace: Trace, { spans, groups, view }: SpansPart): void {
    this.trace = trace;
    const idOf = (this.spans.joining as Joining).join(trace, spans);
    this.take();
    const slowest = view.slowest && {
      ...view.slowest,
      items: view.slowest.items.map((item) => ({
        ...item,
        owners: Object.fromEntries(Object.entries(item.owners).map(([name, id]) => [name, idOf(name, id)])),
      })),
    };
    this.#view.join({ ...view, slowest }, this.#groups.join(groups, idOf));
  }

  /** With what is known of its owners by now. */
  #told({ begin, duration, cells, owners }: SlowSpan): SpanCells {
    const { columns }: { columns: Columns } = this.options.kind;
    const known: Record<string, unknown> = { ...cells };
    for (const [name, reader] of this.#owners) {
      const value = reader.value(owners[name] as number);
      known[name] = value;
      const was = columns[name]?.was;
      if (was !== undefined) known[was] = value;
    }
    return { begin, duration, cells: known };
  }

  protected override take(): void {
    const spans = this.spans;
    const { begin, duration } = spans.read;
    const slowest = this.#view.slowest;
    for (let k = 0; k < spans.count; k++) {
      const length = duration(k);
      this.#view.add(begin(k), length, this.#groups.of(k), this.window?.from ?? 0);
      if (slowest?.admits(length, begin(k)) === true) {
        const owners = Object.fromEntries(this.#owners.map(([name, reader]) => [name, reader.of(k)]));
        slowest.add({ begin: begin(k), duration: length, cells: rowOf(this.options.kind, spans, k), owners });
      }
    }
  }
}

/** What conditions can be about: all spans of the kind, and each group under its values. `seconds` is the time that rates are of. */
export function spanSubjects({ kind, all, rows }: SpansResult, seconds: number): Subject[] {
  const of = (name: string | undefined, stats: Stats) => statsSubject(kind.word, name, stats, all.total, seconds);
  return [
    of(undefined, all),
    ...rows.map(({ group, stats }) => of(group === undefined ? 'others' : group.map(cellText).join(','), stats)),
  ];
}

/** Whether a kind can be grouped by a column: what differs from span to span makes no groups. */
export function isGroup({ type }: Column): boolean {
  return type === 'number' || type === 'text' || type === 'hex' || type === 'flag';
}
