import { EventCopies } from '../spans/event-copies.ts';
import type { InnerEvent } from '../spans/inner-events.ts';
import { type PairCounts, type PairEnd, type PairSpans, Pairs, type PairsPart, sharedOf } from '../spans/pairs.ts';
import { RunHistory, type RunParts } from '../spans/run-history.ts';
import { type Stats, Summary } from '../spans/summary.ts';
import { ThreadEvents } from '../spans/thread-events.ts';
import { type Analysis, type Joinable, type Window, wholeOf } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { groups } from '../trace/groups.ts';
import type { Trace } from '../trace/trace.ts';
import { type Subject, statsSubject } from './conditions.ts';
import { namesIn } from './derived-field.ts';
import { EventPatterns } from './event-pattern.ts';
import type { Filter } from './filter.ts';
import type { Heat } from './heatmap.ts';
import { generalNames, NamedFields, NamedReader, tellsVcpu } from './named-fields.ts';
import { SpanView, type SpanViewPart } from './span-view.ts';
import { type ValuesPart, ValueTable, ValueTree } from './value-table.ts';

/** What a pair begins or ends with: events of this name (a pattern), and of these those that pass the filter. */
export type EndSpec = { event: string; filter?: Filter | undefined };

export type PairsOptions = {
  from: EndSpec;
  to: EndSpec;
  /** The fields that must be equal, as each end calls them. */
  by: readonly { from: string; to: string }[];
  /** Fields to group by: of the first event, or of the last where the first has none of the name; `from.` and `to.` before a name choose. */
  group?: readonly string[];
  /** Whether to tell what the thread did meanwhile, where both ends are of one thread. */
  breakdown?: boolean;
  heatmap?: boolean;
  slow?: number | undefined;
  than?: number | undefined;
};

/** What threads did in the time of pairs, in the clock's unit; the sum is that time. */
export type PairStates = RunParts & {
  /** What the scheduler's events do not tell. */
  unknown: number;
};

/** One event of a pair, as text. */
export type EndEvent = { name: string; text: string };

/** One slow pair. */
export type SlowPair = {
  begin: number;
  duration: number;
  cpu: number;
  tid: number;
  group: (string | undefined)[];
  from: EndEvent;
  to: EndEvent;
  /** What its thread did in between, where both ends are of one thread; and whether there was more. */
  events: InnerEvent[];
  more: boolean;
  /** What its thread did; undefined where that was not asked for. */
  states: PairStates | undefined;
};

/** A pair that has not ended when the trace does. */
export type UnfinishedPair = { begin: number; duration: number; cpu: number; tid: number; from: EndEvent };

export type PairsResult = {
  rows: { group: (string | undefined)[]; stats: Stats; states: PairStates | undefined }[];
  all: Stats;
  /** What the threads did, of all pairs. */
  states: PairStates | undefined;
  heat: Heat | undefined;
  slow: SlowPair[] | undefined;
  over: number;
  /** Those that have not ended, the oldest first, at most `maxUnfinished`. */
  unfinished: UnfinishedPair[];
  counts: PairCounts;
  /** From the first event of either kind to the last, in the clock's unit; NaN where there is none. */
  duration: number;
};

/** What conditions can be about: all pairs, and each group under its values. */
export function pairSubjects({ all, rows, duration }: PairsResult): Subject[] {
  const of = (name: string | undefined, stats: Stats) => statsSubject('pair', name, stats, all.total, duration / 1e9);
  return [
    of(undefined, all),
    ...rows.map(({ group, stats }) => of(group.map((value) => value ?? '').join(','), stats)),
  ];
}

/** Unfinished pairs that are listed; all are counted. */
const maxUnfinished = 1000;
/** Of so many open pairs the first event is remembered, up to so many bytes. */
const maxCopies = 1 << 16;
const maxPayload = 192;

/** What was learnt of a stretch of a recording, as plain data. */
export type PairsViewPart = {
  pairs: PairsPart;
  view: SpanViewPart<SlowPair>;
  values: readonly ValuesPart[];
  nodes: Uint32Array;
  /** By open pair, the oldest first: its event. */
  open: readonly EndEvent[];
  /** Of the ends among the heads of `pairs`. */
  heads: readonly Head[];
  headValues: readonly ValuesPart[];
  fields: { from: ReadonlySet<string>; to: ReadonlySet<string> };
  used: { from: readonly boolean[]; to: readonly boolean[] };
};

/** An end of which the beginning was before the stretch: its number among the heads, what it says of each group, and its text for the log. */
type Head = { head: number; values: number[]; event: EndEvent };

/**
 * Whether the answer to such a question can be joined of what several readings of parts of the recording give. Not where it tells what a thread did
 * meanwhile, or goes by vCPUs, which a part may not know of its threads.
 */
export function canJoinPairs({ from, to, by, group = [], breakdown, slow, than }: PairsOptions): boolean {
  const ofThread = by.some((field) => field.from === 'tid' && field.to === 'tid');
  if (ofThread && (breakdown === true || slow !== undefined || than !== undefined)) return false;
  return !usesVcpu(by, group) && ![from, to].some(({ filter }) => filter?.needsVcpu === true);
}

function usesVcpu(by: PairsOptions['by'], group: readonly string[]): boolean {
  const names = [...by.flatMap((field) => [field.from, field.to]), ...group];
  return names.flatMap((name) => namesIn(name.replace(/^(from|to)\.(?=.)/, ''))).includes('vcpu');
}

/** Everything that `virtap pairs` answers, in one pass. */
export class PairsView implements Analysis, Joinable<PairsViewPart> {
  readonly pairs: Pairs;
  readonly from: EventPatterns;
  readonly to: EventPatterns;
  readonly options: PairsOptions;
  readonly #names = new NamedFields();
  readonly #needsVcpu: boolean;
  readonly #ofThread: boolean;
  readonly #view: SpanView<SlowPair>;
  readonly #copies = new EventCopies(maxCopies, maxPayload);
  /** By entry: the beginning of an open pair that another learnt of. */
  readonly #told = new Map<number, EndEvent>();
  readonly #heads: Head[] = [];
  /** What is joined just now. */
  #joined: PairsViewPart | undefined;
  readonly #threadEvents: ThreadEvents | undefined;
  readonly #runs: RunHistory | undefined;
  /** By group. */
  readonly #states: (PairStates | undefined)[] = [];
  readonly #group: readonly GroupField[];
  readonly #tree = new ValueTree();
  readonly #paths: (readonly number[] | undefined)[] = [];
  #groups = new Int32Array(0);
  /** Fields of the types that either end takes. */
  readonly #fields = { from: new Set<string>(), to: new Set<string>() };
  #tellsVcpu: boolean[] = [];
  #trace: Trace | undefined;
  #window: Window | undefined;

  constructor(options: PairsOptions) {
    this.options = options;
    const { from, to, by, heatmap, slow, than } = options;
    this.from = new EventPatterns([from.event]);
    this.to = new EventPatterns([to.event]);
    this.#group = (options.group ?? []).map((name) => new GroupField(name, this.#names));
    this.#view = new SpanView({ heatmap, slow, than });
    this.#needsVcpu = usesVcpu(by, options.group ?? []) || [from, to].some(({ filter }) => filter?.needsVcpu === true);
    this.#ofThread = by.some((field) => field.from === 'tid' && field.to === 'tid');
    const slowLog = this.#view.slowest !== undefined;
    this.#threadEvents = slowLog && this.#ofThread ? new ThreadEvents() : undefined;
    this.#runs = options.breakdown === true && this.#ofThread ? new RunHistory() : undefined;
    this.pairs = new Pairs(this.#end('from'), this.#end('to'), {
      keys: by.length,
      of: sharedOf(by.map(({ from, to }) => [from, to])),
      note: this.#group.length === 0 ? undefined : (_, b, i) => this.#fromNode(b, i),
      listener: {
        began: (entry, _, b, i) => {
          if (this.#told.size > 0) this.#told.delete(entry);
          this.#copies.keep(entry, b, i);
        },
        ended: (entry, span, trace, b, i) => this.#ended(entry, span, trace, b, i),
        headed: (head, trace, b, i) => this.#headed(head, trace, b, i),
        opened: (entry, k) => this.#told.set(entry, this.#joined?.open[k] as EndEvent),
        endedBy: (entry, span, head) => this.#endedBy(entry, span, head),
      },
    });
  }

  wants(type: EventType): boolean {
    this.options.from.filter?.learn(type);
    this.options.to.filter?.learn(type);
    const paired = this.pairs.wants(type);
    return (
      paired ||
      this.#threadEvents !== undefined ||
      this.#runs?.wants(type) === true ||
      (this.#needsVcpu && tellsVcpu(type))
    );
  }

  within(window: Window): void {
    this.#window = window;
    this.pairs.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#names.trace = trace;
    if (this.#needsVcpu) this.#noteVcpus(trace, b);
    this.#threadEvents?.batch(trace);
    this.#runs?.batch(trace, b);
    this.#reserve(b.count);
    const spans = this.pairs.batch(trace, b);
    this.#threadEvents?.advance(b, b.count);
    this.#take(spans);
  }

  #reserve(spans: number): void {
    if (this.#groups.length < spans) this.#groups = new Int32Array(spans);
  }

  #take(spans: PairSpans): void {
    if (this.#group.length === 0) this.#groups.fill(0, 0, spans.count);
    this.#view.summarise(spans, this.#groups);
    this.#view.draw(spans, this.#window?.from ?? 0);
  }

  inMiddle(): void {
    this.pairs.inMiddle();
  }

  part(): PairsViewPart {
    const used = { from: this.from.part(), to: this.to.part() };
    return {
      pairs: this.pairs.part(),
      view: this.#view.part(),
      values: this.#group.map(({ values }) => values.part()),
      nodes: this.#tree.part(),
      open: [...this.pairs.unfinished()].map(({ entry }) => this.#fromEvent(entry)),
      heads: this.#heads,
      headValues: this.#group.map(({ headValues }) => headValues.part()),
      fields: this.#fields,
      used,
    };
  }

  accepts({ pairs, values, headValues, nodes, heads }: PairsViewPart): boolean {
    return (
      canJoinPairs(this.options) &&
      this.pairs.accepts(pairs) &&
      this.pairs.mostWith(pairs) <= maxCopies &&
      heads.length <= maxCopies &&
      this.#tree.accepts(nodes) &&
      // Where not all were told apart, it matters which came first.
      this.#group.every(({ values: own }, n) =>
        [values, headValues].every((parts) => own.accepts(parts[n] as ValuesPart)),
      )
    );
  }

  join(trace: Trace, part: PairsViewPart): void {
    this.#trace = trace;
    const { pairs, view, values, nodes, fields, used } = part;
    const fieldCount = this.#group.length;
    const nodeOf = this.#tree.join(nodes, (n, value) =>
      (this.#group[n % fieldCount] as GroupField).values.take(values[n % fieldCount] as ValuesPart, value),
    );
    const note = fieldCount === 0 ? pairs.open.note : pairs.open.note.map((node) => nodeOf[node] ?? -1);
    this.#joined = part;
    this.#reserve(pairs.heads.count);
    const spans = this.pairs.join({ ...pairs, open: { ...pairs.open, note } });
    if (spans.count > 0) this.#take(spans);
    this.#joined = undefined;
    this.#view.join(view, (group) => (group === 0 ? 0 : (nodeOf[group - 1] as number) + 1));
    for (const end of ['from', 'to'] as const) {
      for (const name of fields[end]) this.#fields[end].add(name);
      this[end].join(used[end]);
    }
  }

  /** The recording is read on while it may still hold what was named: each type is asked about as it comes. */
  behind(): void {}

  curious(): boolean {
    return [this.from, this.to].some((patterns) => patterns.unused().length > 0) || this.unknownFields().length > 0;
  }

  /** Names in `by` and `group` that no event of the end in question has, with what there is. */
  unknownFields(): { name: string; end: 'from' | 'to'; fields: string[] }[] {
    const unknown: { name: string; end: 'from' | 'to'; fields: string[] }[] = [];
    const known = (end: 'from' | 'to') => [...new Set([...this.#fields[end], ...generalNames])].sort();
    for (const end of ['from', 'to'] as const) {
      for (const field of this.options.by.flatMap((one) => namesIn(one[end]))) {
        const name = field.replace(/^\./, '');
        const there = name === field ? known(end) : [...this.#fields[end]];
        if (!there.includes(name)) unknown.push({ name, end, fields: known(end) });
      }
    }
    for (const { name: text, end } of this.#group) {
      const there = end === undefined ? [...known('from'), ...known('to')] : known(end);
      for (const name of namesIn(text)) {
        if (!there.includes(name.replace(/^\./, '')) && name !== 'reason')
          unknown.push({ name, end: end ?? 'from', fields: there });
      }
    }
    return unknown;
  }

  result(): PairsResult {
    type Row = { group: (string | undefined)[]; summary: Summary; states: PairStates | undefined };
    const merged = new Map<string, Row>();
    const all = new Summary();
    let states: PairStates | undefined;
    this.#view.summaries.forEach((summary, row) => {
      if (summary === undefined) return;
      all.merge(summary);
      const group = this.#labels(row - 1);
      const own = this.#states[row];
      states = sumOf(states, own);
      const key = JSON.stringify(group.map((label) => label ?? null));
      const same = merged.get(key);
      if (same === undefined) merged.set(key, { group, summary, states: own });
      else {
        same.summary.merge(summary);
        same.states = sumOf(same.states, own);
      }
    });
    const counts = this.pairs.result();
    const { from, to } = this.#window ?? wholeOf(this.#trace);
    return {
      rows: [...merged.values()].map(({ group, summary, states }) => ({ group, stats: summary.result(), states })),
      all: all.result(),
      states,
      heat: this.#view.heat(),
      slow: this.#view.slowest?.result(),
      over: this.#view.slowest?.over ?? 0,
      unfinished: this.#unfinished(to),
      counts,
      duration: to - from,
    };
  }

  #end(which: 'from' | 'to'): PairEnd {
    const { filter } = this.options[which];
    const other = which === 'from' ? 'to' : 'from';
    const patterns = this[which];
    return {
      takes: (type) => {
        const takes = patterns.takes(type);
        if (takes) for (const field of type.fields) this.#fields[which].add(field.name);
        return takes;
      },
      passes: filter === undefined ? undefined : (trace, b, i) => filter.passes(trace, b, i),
      keys: (type) => this.options.by.map((key) => this.#names.key(key[which], key[other], type)),
    };
  }

  /** The groups of what began so, as far as its first event tells. Groups are nodes plus 1: 0 is what found no room. */
  #fromNode(b: EventBatch, i: number): number {
    const type = this.#trace?.types[b.type[i] as number] as EventType;
    let node = 0;
    for (const field of this.#group) node = this.#tree.step(node, field.fromValue(type, b, i));
    return node;
  }

  #fromValues(node: number): readonly number[] {
    if (node < 0) return [];
    let values = this.#paths[node];
    if (values === undefined) {
      while (this.#paths.length <= node) this.#paths.push(undefined);
      values = this.#tree.path(node);
      this.#paths[node] = values;
    }
    return values;
  }

  #ended(entry: number, span: number, trace: Trace, b: EventBatch, i: number): void {
    const { spans } = this.pairs;
    const type = trace.types[b.type[i] as number] as EventType;
    this.#sort(span, (n) => (this.#group[n] as GroupField).toValue(type, b, i));
    const { slowest } = this.#view;
    const duration = spans.duration[span] as number;
    const states = this.#statesOf(span, duration);
    if (states !== undefined) {
      const group = this.#group.length === 0 ? 0 : (this.#groups[span] as number);
      while (this.#states.length <= group) this.#states.push(undefined);
      this.#states[group] = sumOf(this.#states[group], states);
    }
    if (slowest?.admits(duration, spans.begin[span] as number) !== true) return;
    this.#threadEvents?.advance(b, i + 1);
    const between = this.#threadEvents?.between(
      spans.tid[span] as number,
      spans.begin[span] as number,
      b.time[i] as number,
    );
    const { events = [], more = false } = between ?? {};
    const to = { name: type.name, text: type.layout.print(b, i) };
    slowest.add({ ...this.#describe(entry, span), to, events, more, states });
  }

  /** Finds the group of a pair. `toValue` gives the value of a field in its last event. */
  #sort(span: number, toValue: (n: number) => number): void {
    if (this.#group.length === 0) return;
    let node = this.pairs.spans.note[span] as number;
    const first = this.#fromValues(node);
    for (let n = 0; n < this.#group.length; n++) {
      // What the first event says counts; the last one's value would only tell rows apart that are one.
      node = this.#tree.step(node, first[n] === 0 ? toValue(n) : 0);
    }
    this.#groups[span] = node + 1;
  }

  /** An event of a stretch in the middle that ends what may have begun before. */
  #headed(head: number, trace: Trace, b: EventBatch, i: number): void {
    const logs = this.#view.slowest !== undefined;
    if ((!logs && this.#group.length === 0) || this.#heads.length > maxCopies) return;
    const type = trace.types[b.type[i] as number] as EventType;
    const event = { name: type.name, text: logs ? type.layout.print(b, i) : '' };
    this.#heads.push({ head, values: this.#group.map((field) => field.headValue(type, b, i)), event });
  }

  #endedBy(entry: number, span: number, number: number): void {
    const { heads = [], headValues = [] } = this.#joined ?? {};
    const head = heads[search(heads, number)];
    if (head === undefined) return;
    this.#sort(span, (n) =>
      (this.#group[n] as GroupField).values.take(headValues[n] as ValuesPart, head.values[n] as number),
    );
    const { begin, duration } = this.pairs.spans;
    const { slowest } = this.#view;
    if (slowest?.admits(duration[span] as number, begin[span] as number) !== true) return;
    slowest.add({ ...this.#describe(entry, span), to: head.event, events: [], more: false, states: undefined });
  }

  #statesOf(span: number, duration: number): PairStates | undefined {
    if (this.#runs === undefined) return undefined;
    const { begin, tid } = this.pairs.spans;
    const from = begin[span] as number;
    const ran = this.#runs.between(tid[span] as number, from, from + duration);
    return ran === undefined ? { running: 0, preempted: 0, blocked: 0, unknown: duration } : { ...ran, unknown: 0 };
  }

  #describe(entry: number, span: number): Omit<SlowPair, 'to' | 'events' | 'more' | 'states'> {
    const { begin, duration, cpu, tid } = this.pairs.spans;
    return {
      begin: begin[span] as number,
      duration: duration[span] as number,
      cpu: cpu[span] as number,
      tid: tid[span] as number,
      group: this.#group.length === 0 ? [] : this.#labels((this.#groups[span] as number) - 1),
      from: this.#fromEvent(entry),
    };
  }

  #fromEvent(entry: number): EndEvent {
    const trace = this.#trace as Trace;
    const told = this.#told.get(entry);
    if (told !== undefined) return told;
    if (entry >= this.#copies.batch.capacity) return { name: '', text: '' };
    const type = trace.types[this.#copies.batch.type[entry] as number] as EventType;
    return { name: type.name, text: this.#copies.text(trace, entry) };
  }

  #labels(node: number): (string | undefined)[] {
    if (this.#group.length === 0) return [];
    if (node < 0) return this.#group.map(() => 'others');
    const path = this.#tree.path(node);
    return this.#group.map((field, n) => field.label(path[n] ?? 0) ?? field.label(path[n + this.#group.length] ?? 0));
  }

  #unfinished(end: number): UnfinishedPair[] {
    const listed: UnfinishedPair[] = [];
    for (const { begin, cpu, tid, entry } of this.pairs.unfinished()) {
      if (listed.length === maxUnfinished) break;
      listed.push({ begin, duration: end - begin, cpu, tid, from: this.#fromEvent(entry) });
    }
    return listed;
  }

  #noteVcpus(trace: Trace, b: EventBatch): void {
    for (let id = this.#tellsVcpu.length; id < trace.types.length; id++) {
      this.#tellsVcpu.push(tellsVcpu(trace.types[id] as EventType));
    }
    for (let i = 0; i < b.count; i++) {
      if (this.#tellsVcpu[b.type[i] as number] !== true) continue;
      this.#names.note(trace, b, i);
      this.options.from.filter?.note(trace, b, i);
      this.options.to.filter?.note(trace, b, i);
    }
  }
}

function sumOf(a: PairStates | undefined, b: PairStates | undefined): PairStates | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return {
    running: a.running + b.running,
    preempted: a.preempted + b.preempted,
    blocked: a.blocked + b.blocked,
    unknown: a.unknown + b.unknown,
  };
}

/** Where the head with a number stands; they ascend. */
function search(heads: readonly Head[], head: number): number {
  let low = 0;
  let high = heads.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((heads[middle] as Head).head < head) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** One field to group by. */
class GroupField {
  readonly name: string;
  /** Which event it is of; undefined for the first that has it. */
  readonly end: 'from' | 'to' | undefined;
  readonly values = new ValueTable();
  /** Of the events of a stretch in the middle whose pair may have begun before: whether they count is not known there. */
  readonly headValues = new ValueTable();
  readonly #reader: NamedReader;

  constructor(text: string, names: NamedFields) {
    const match = /^(?:(from|to)\.(?=.))?(.*)$/.exec(text) as RegExpExecArray;
    const [, end, name] = groups<[string, 'from' | 'to' | undefined, string]>(match);
    this.name = name;
    this.end = end;
    this.#reader = new NamedReader(name, names);
  }

  /** The number of its value in the first event of a pair, 0 where that has none. */
  fromValue(type: EventType, b: EventBatch, i: number): number {
    return this.end === 'to' ? 0 : this.values.id(this.#reader.of(type), b, i);
  }

  /** The same in the last event. */
  toValue(type: EventType, b: EventBatch, i: number): number {
    return this.end === 'from' ? 0 : this.values.id(this.#reader.of(type), b, i);
  }

  headValue(type: EventType, b: EventBatch, i: number): number {
    return this.end === 'from' ? 0 : this.headValues.id(this.#reader.of(type), b, i);
  }

  label(value: number): string | undefined {
    return this.values.label(value);
  }
}
