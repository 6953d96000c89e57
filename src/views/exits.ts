import { type DetailLabel, type DetailName, type DetailPart, ExitDetail } from '../spans/exit-detail.ts';
import { isEntry } from '../spans/exit-events.ts';
import {
  ExitPairing,
  type ExitPart,
  type ExitSeam,
  type ExitSpans,
  type PairingCounts,
  type VcpuThread,
} from '../spans/exits.ts';
import { nothing, type Stats, Summary } from '../spans/summary.ts';
import { type Vcpu, vcpuOf } from '../spans/vcpu.ts';
import { type ExitParts, VcpuTime, type VcpuTimePart, vcpuStates } from '../spans/vcpu-time.ts';
import { type Analysis, isStretch, type Joinable, type Window, wholeOf } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { tellsTime } from '../trace/clock.ts';
import { type EventType, hex64 } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { Trace } from '../trace/trace.ts';
import type { Measured, Subject } from './conditions.ts';
import { ExitChoice, type ExitChoiceOptions } from './exit-choice.ts';
import type { ExitPicture } from './exit-picture.ts';
import { measured } from './figures.ts';
import type { Heat } from './heatmap.ts';
import type { LockNames } from './lock-answers.ts';
import type { LocksView } from './locks.ts';
import { type Parts, type SlowExit, Slowest, type SlowestPart } from './slowest.ts';
import { defaultSlow, SpanView, type SpanViewPart } from './span-view.ts';
import { type Untold, untold } from './vcpus.ts';

/** What exits can be grouped by. */
export const dimensions = ['reason', 'vcpu', 'vm', 'port', 'gpa', 'msr', 'rip', 'userspace'] as const;
export type Dimension = (typeof dimensions)[number];

export type ExitOptions = ExitChoiceOptions & {
  /** One dimension, or two. */
  by: readonly Dimension[];
  heatmap?: boolean;
  /** How many slow exits to show, and from which duration on. */
  slow?: number | undefined;
  than?: number | undefined;
  /** Whether the heat map and the slow exits take in halts. */
  halts?: boolean;
  /** Whether to divide each row's time by where the vCPU was. */
  breakdown?: boolean;
  /** ns per unit of the clock, where that counts cycles and the user knows their length. */
  scale?: number | undefined;
  /** Is given the same exits, for a picture that can be taken apart. Wants `slow`. */
  picture?: ExitPicture | undefined;
  /** Keeps what `Vcpus` draws as timelines, for one that looks on. */
  timeline?: boolean;
  /** QEMU's mutexes, where somebody follows them already: that one takes each batch first. */
  locks?: LocksView | undefined;
  /** Times the stretches in the guest, from kvm_entry to the kvm_exit whose reason ended it, instead of the exits. */
  inGuest?: boolean;
  /** Every exit is counted, none timed: for traces that do not tell how long they took. */
  counting?: boolean;
};

/** What a trace lacks so that its exits can be counted, but not timed: time stamps that tell lengths, threads, or any kvm_entry. */
export type Untimed = 'times' | 'threads' | 'entries';

/** What a group of exits has in common: one value for each dimension asked for. */
export type Group = {
  reason?: string;
  vcpu?: Vcpu;
  vm?: number | undefined;
  port?: DetailLabel;
  gpa?: DetailLabel;
  msr?: DetailLabel;
  rip?: string;
  userspace?: DetailLabel;
};

/** A group's exits: all, those that are no halts, and the halts; the latter two undefined where there are none. */
export type ExitRow = {
  group: Group;
  all: Stats;
  busy: Stats | undefined;
  halts: Stats | undefined;
  /** How the time of those that are no halts divides, and that of the halts; undefined where nobody asked. */
  parts: { busy: Parts; halts: Parts } | undefined;
};

export type ExitResult = {
  /** Whether it is about the stretches in the guest that exits ended. */
  inGuest: boolean;
  /** What durations are in. */
  unit: 'ns' | 'cycles';
  by: readonly Dimension[];
  rows: ExitRow[];
  all: Stats;
  busy: Stats;
  halts: Stats;
  /** Why nothing has a duration, where that is so: of all statistics only the counts are numbers then. */
  untimed: Untimed | undefined;
  /** How long the stretch is that they are of, in the clock's unit (or ns). */
  duration: number;
  counts: PairingCounts;
  vcpus: Vcpu[];
  /** How the VMs are told apart. */
  vms: { known: true; count: number } | { known: false; assumedOne: boolean };
  heat: Heat | undefined;
  slow: (Omit<SlowExit, 'thread'> & { vcpu: Vcpu })[] | undefined;
  /** What of a division the trace cannot tell; undefined where nothing is divided. */
  untold: Untold[] | undefined;
  /** Exits that are not over at the end of the recording, or of the stretch asked for, the oldest first; their age is counted to that end. */
  open: { vcpu: Vcpu; reason: string; begin: number; age: number }[];
  /** Names for what slow exits waited for; undefined where no slow exits are kept. */
  lockNames: LockNames | undefined;
  /** How many exits were over the threshold; more than `slow` has where that was cut. */
  over: number;
  /** Whether no reason is left of those that there were. */
  allExcluded: boolean;
  /** What was to be left out and was not there. */
  unknownReasons: string[];
  /** Which exits were asked for, where not all. */
  choice: ExitChoiceOptions;
};

type Row = { group: Group; busy: Summary; halts: Summary; parts: { busy: Parts; halts: Parts } };

/** Rips told apart; further ones are grouped as `others`. */
const maxRips = 4096;
/** Rows of two dimensions; further ones are grouped in the last. */
const maxRows = 20_000;

/** What `Exits` learnt of a stretch of a recording, as plain data. */
export type ExitsPart = {
  /** Whether it was given anything at all. */
  fed: boolean;
  pairing: ExitPart;
  /** Undefined once it was certain that exits can be timed. */
  untimed: ExitsPart | undefined;
  view: SpanViewPart<never>;
  details: { [name in DetailName]?: DetailPart };
  /** By rip, and by row of two dimensions: two numbers each, as tables of ids have them. */
  rips: Uint32Array;
  pairs: Uint32Array;
  /** By thread: 1 taken, 2 left out, 0 not decided. */
  choice: readonly number[];
  /** How the vCPUs' time divides, and that of the rows, by row and state. */
  time: VcpuTimePart | undefined;
  parts: Float64Array;
  slowest: SlowestPart | undefined;
};

/**
 * Whether the answer to such a question can be joined of what several readings of parts of the recording give. Not where a picture is kept of it, or another follows QEMU's
 * mutexes; nor of stretches in the guest by what the exit before did, or as a log.
 */
export function canJoin({ slow, than, picture, locks, inGuest, by }: ExitOptions): boolean {
  if (inGuest === true && (slow !== undefined || than !== undefined)) return false;
  return locks === undefined && picture === undefined && (inGuest !== true || !by.some(isDetail));
}

/** Everything that `virtap exits` answers, in one pass. */
export class Exits implements Analysis, Joinable<ExitsPart> {
  readonly pairing: ExitPairing;
  readonly options: ExitOptions;
  readonly #details: { [name in DetailName]?: ExitDetail } = {};
  readonly #slowest: Slowest | undefined;
  readonly #choice: ExitChoice;
  /** Its groups are rows: for one dimension `key * 2 + halt`, for two what both have in `#pairs`. */
  readonly #view: SpanView<never>;
  #row = new Int32Array(0);
  readonly #time: VcpuTime | undefined;
  /** Time by row and state. */
  #parts = new Float64Array(64 * vcpuStates.length);
  readonly #pairs = new IdTable();
  readonly #rips = new IdTable();
  /** Counts the exits until it is certain that they can be timed. */
  #untimed: Exits | undefined;
  #ripIds = new Int32Array(0);
  #trace: Trace | undefined;
  #window: Window | undefined;

  constructor(options: ExitOptions) {
    this.options = options;
    const { by, slow, than, halts } = options;
    const wantsSlow = slow !== undefined || than !== undefined;
    const inner =
      wantsSlow || options.breakdown === true || by.includes('rip') || by.some(isDetail) || options.cpus !== undefined;
    const counting = options.counting === true;
    this.pairing = new ExitPairing({ scale: options.scale ?? 1, inner, counting, inside: options.inGuest === true });
    if (!counting) {
      const { by, reasons = [], exclude = [], vcpus, pids, cpus } = options;
      this.#untimed = new Exits({ by, reasons, exclude, vcpus, pids, cpus, counting: true });
    }
    for (const dimension of by) {
      if (isDetail(dimension)) this.#details[dimension] = new ExitDetail(dimension, this.pairing);
    }
    if (wantsSlow) {
      this.#slowest = new Slowest(this.pairing, {
        limit: slow ?? defaultSlow,
        than: than ?? -1,
        halts: halts === true,
        log: options.picture,
        locks: options.locks,
      });
    }
    if (wantsSlow || options.breakdown === true || options.timeline === true) {
      const dividing = wantsSlow || options.breakdown === true;
      const timeline = options.timeline === true;
      this.#time = new VcpuTime(this.pairing, { locks: this.#slowest?.locks, timeline, dividing });
    }
    this.#view = new SpanView({ heatmap: options.heatmap });
    this.#choice = new ExitChoice(this.pairing, options);
  }

  /** How the vCPUs' time divides, where exits were asked for that. */
  get time(): VcpuTime | undefined {
    return this.#time;
  }

  inMiddle(): void {
    this.#time?.inMiddle();
    this.#slowest?.inMiddle();
  }

  wants(type: EventType): boolean {
    if (this.pairing.wants(type) || this.#slowest !== undefined || this.#time?.wants(type) === true) return true;
    return Object.values(this.#details).some((detail) => detail.wants(type));
  }

  within(window: Window): void {
    this.#window = window;
    this.pairing.within(window);
    this.#time?.within(window);
    this.#slowest?.within(window);
    this.options.picture?.within(window);
    this.#untimed?.within(window);
  }

  behind(trace: Trace, b: EventBatch): void {
    this.#time?.behind(trace, b);
    this.#slowest?.behind(trace, b);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#choice.trace = trace;
    const spans = this.pairing.batch(trace, b);
    this.#choice.filter(spans);
    this.options.picture?.take(spans, this.pairing);
    for (const detail of Object.values(this.#details)) detail.batch(trace, b, spans);
    const time = trace.clock.unit === 'ns' ? this.#time : undefined;
    this.#slowest?.follow(trace, b);
    time?.batch(trace, b);
    this.#slowest?.batch(trace, b, spans, time?.exits);
    this.#summarise(spans);
    if (this.options.breakdown === true && time !== undefined) this.#divide(spans, time.exits);
    this.#draw(spans);
    if (this.pairing.entered && tellsTime(trace.clock)) this.#untimed = undefined;
    this.#untimed?.batch(trace, b);
  }

  part(): ExitsPart {
    return {
      fed: this.#trace !== undefined,
      pairing: this.pairing.part(),
      untimed: this.#untimed?.part(),
      view: this.#view.part(),
      details: Object.fromEntries(Object.entries(this.#details).map(([name, detail]) => [name, detail.part()])),
      rips: this.#rips.values(),
      pairs: this.#pairs.values(),
      choice: this.#choice.part(),
      time: this.#time?.part(),
      parts: this.#parts,
      slowest: this.#slowest?.part(),
    };
  }

  accepts(part: ExitsPart): boolean {
    return (
      canJoin(this.options) &&
      this.pairing.accepts(part.pairing) &&
      (part.time === undefined || this.#time?.accepts(part.time, part.pairing.threads) === true) &&
      (this.#untimed === undefined || part.untimed === undefined || this.#untimed.accepts(part.untimed)) &&
      (part.slowest === undefined || this.#slowest?.accepts(part.slowest) === true) &&
      // Where not all were told apart, it matters which came first.
      part.rips.length < 2 * maxRips &&
      part.pairs.length < 2 * maxRows &&
      !Object.values(part.details).some((detail) => detail.full) &&
      this.#choice.accepts(part.choice, part.pairing)
    );
  }

  join(trace: Trace, part: ExitsPart): void {
    if (!part.fed) return;
    this.#trace = trace;
    this.#choice.trace = trace;
    if (part.slowest !== undefined) this.#slowest?.joinAhead(part.slowest);
    const seam = this.pairing.join(part.pairing);
    const details: { [name in DetailName]?: Int32Array } = {};
    this.#choice.filter(seam.spans);
    for (const name of Object.keys(this.#details) as DetailName[]) {
      details[name] = (this.#details[name] as ExitDetail).join(part.details[name] as DetailPart, seam);
    }
    this.#summarise(seam.spans);
    this.#draw(seam.spans);
    const rowOf = this.#rowOf(part, seam, details);
    this.#view.join(part.view, rowOf);
    if (part.time !== undefined && this.#time !== undefined) {
      const divided = this.#time.join(trace, part.time, seam.threads);
      const ns = trace.clock.unit === 'ns';
      if (part.slowest !== undefined) this.#slowest?.join(part.slowest, seam, ns ? divided : undefined);
      if (this.options.breakdown === true) {
        this.#divideSeam(seam.spans, divided);
        part.view.summaries.forEach((summary, row) => {
          if (summary !== undefined) this.#addParts(rowOf(row), part.parts, row);
        });
      }
    }
    this.#choice.join(part.choice, seam.threads);
    if (part.untimed === undefined) this.#untimed = undefined;
    else this.#untimed?.join(trace, part.untimed);
  }

  /** Gives what another's rows are here. */
  #rowOf(part: ExitsPart, { threads, reasons }: ExitSeam, details: { [name in DetailName]?: Int32Array }) {
    const rips = Int32Array.from({ length: part.rips.length / 2 }, (_, id) =>
      this.#ripId(part.rips[2 * id] as number, part.rips[2 * id + 1] as number),
    );
    const keyOf = (dimension: Dimension, key: number): number => {
      if (dimension === 'reason') return reasons[key] as number;
      if (dimension === 'vcpu' || dimension === 'vm') return threads[key] as number;
      return (dimension === 'rip' ? rips : (details[dimension] as Int32Array))[key] as number;
    };
    const { by } = this.options;
    const first = (row: number) => 2 * keyOf(by[0] as Dimension, row >> 1) + (row & 1);
    if (by.length === 1) return first;
    return (row: number) =>
      this.#pairId(first(part.pairs[2 * row] as number), keyOf(by[1] as Dimension, part.pairs[2 * row + 1] as number));
  }

  /** Of `counting`: takes the exits that nothing followed. */
  #rest(): void {
    const spans = this.pairing.rest();
    this.#choice.filter(spans);
    for (const detail of Object.values(this.#details)) detail.rest(spans);
    this.#summarise(spans);
  }

  result(): ExitResult {
    const untimed = this.#untimed;
    if (untimed === undefined || this.#trace === undefined) return this.#result();
    const { exits, exitsWithoutThread } = this.pairing.counts;
    const threadless = exits > 0 && exits === exitsWithoutThread;
    // That a stretch has none says nothing of the recording.
    const elsewhere = isStretch(this.#window ?? wholeOf(this.#trace)) && this.#trace.types.some(isEntry);
    if (tellsTime(this.#trace.clock) && !threadless && elsewhere) return this.#result();
    untimed.#rest();
    const counted = untimed.#result();
    const why = !tellsTime(this.#trace.clock) ? 'times' : threadless ? 'threads' : 'entries';
    const own = this.#result();
    return {
      ...own,
      untimed: why,
      vcpus: counted.vcpus,
      vms: counted.vms,
      rows: counted.rows.map(({ group, all, busy, halts }) => ({
        group,
        all: countOf(all),
        busy: busy && countOf(busy),
        halts: halts && countOf(halts),
        parts: undefined,
      })),
      all: countOf(counted.all),
      busy: countOf(counted.busy),
      halts: countOf(counted.halts),
      duration: why === 'times' ? Number.NaN : own.duration,
      heat: undefined,
      slow: undefined,
      untold: undefined,
      over: 0,
      open: [],
      unknownReasons: counted.unknownReasons,
    };
  }

  #result(): ExitResult {
    const rows = this.#rows();
    const busy = new Summary();
    const halts = new Summary();
    const all = new Summary();
    for (const row of rows) {
      busy.merge(row.busy);
      halts.merge(row.halts);
    }
    all.merge(busy);
    all.merge(halts);
    const { pairing } = this;
    const { from, to } = this.#window ?? wholeOf(this.#trace);
    const vcpus = pairing.threads.map((thread) => this.#vcpu(thread));
    const pids = new Set(vcpus.map((vcpu) => vcpu.vm));
    const counts = pairing.result();
    return {
      inGuest: this.options.inGuest === true,
      unit: this.#trace?.clock.unit === 'ticks' && this.options.scale === undefined ? 'cycles' : 'ns',
      by: this.options.by,
      rows: rows.map(({ group, busy, halts, parts }) => {
        const own = busy.count > 0 ? busy.result() : undefined;
        const slept = halts.count > 0 ? halts.result() : undefined;
        let both = own ?? slept ?? { ...nothing };
        if (own !== undefined && slept !== undefined) {
          const merged = new Summary();
          merged.merge(busy);
          merged.merge(halts);
          both = merged.result();
        }
        return {
          group,
          all: both,
          busy: own,
          halts: slept,
          parts: this.options.breakdown === true ? parts : undefined,
        };
      }),
      all: all.result(),
      busy: busy.result(),
      halts: halts.result(),
      untimed: undefined,
      duration: (to - from) * (this.options.scale ?? 1),
      counts,
      vcpus,
      vms: pids.has(undefined)
        ? { known: false, assumedOne: distinct(vcpus.map((vcpu) => vcpu.number)) }
        : { known: true, count: pids.size },
      heat: this.#view.heat(),
      slow: this.#slowest?.result().map(({ thread, ...exit }) => ({ ...exit, vcpu: vcpus[thread] as Vcpu })),
      lockNames: this.#slowest?.lockNames(),
      over: this.#slowest?.over ?? 0,
      untold: this.#time === undefined || !(this.#trace?.clock.unit === 'ns') ? undefined : untold(this.#time.evidence),
      open: counts.entries > 0 ? this.#open(to) : [],
      allExcluded: this.#choice.leavesNone,
      choice: this.#choice.asked,
      unknownReasons: this.#choice.unknownReasons,
    };
  }

  #summarise(spans: ExitSpans): void {
    if (this.#row.length < spans.count) this.#row = new Int32Array(spans.begin.length);
    const rows = this.#row;
    const { reason } = spans;
    const { halt } = this.pairing.reasons;
    const { by } = this.options;
    const first = this.#keys(by[0] as Dimension, spans);
    for (let k = 0; k < spans.count; k++) {
      rows[k] = (first[k] as number) * 2 + (halt[reason[k] as number] === true ? 1 : 0);
    }
    if (by.length === 2) {
      const second = this.#keys(by[1] as Dimension, spans);
      for (let k = 0; k < spans.count; k++) {
        rows[k] = this.#pairId(rows[k] as number, second[k] as number);
      }
    }
    this.#view.summarise(spans, rows);
  }

  /** What each exit is grouped by, as small numbers. VMs and vCPUs go by thread until the end: a pid can come late. */
  #keys(dimension: Dimension, spans: ExitSpans): Int32Array {
    switch (dimension) {
      case 'reason':
        return spans.reason;
      case 'vcpu':
      case 'vm':
        return spans.thread;
      case 'rip': {
        if (this.#ripIds.length < spans.count) this.#ripIds = new Int32Array(spans.begin.length);
        for (let k = 0; k < spans.count; k++) {
          this.#ripIds[k] = this.#ripId(spans.ripHigh[k] as number, spans.ripLow[k] as number);
        }
        return this.#ripIds;
      }
      default:
        return (this.#details[dimension] as ExitDetail).group;
    }
  }

  #ripId(high: number, low: number): number {
    return idOf(this.#rips, high, low, maxRips);
  }

  #pairId(high: number, low: number): number {
    return idOf(this.#pairs, high, low, maxRows);
  }

  /** Adds how each exit's time divides to its row. */
  #divide(spans: ExitSpans, exits: ExitParts): void {
    let x = 0;
    for (let k = 0; k < spans.count; k++) {
      const row = this.#row[k] as number;
      // Both are in the order of the kvm_entries; some that were divided are no spans, or were filtered out.
      while (x < exits.count && (exits.endsAt[x] as number) < (spans.endsAt[k] as number)) x++;
      if (x === exits.count) return;
      if (exits.endsAt[x] !== spans.endsAt[k]) continue;
      this.#addParts(row, exits.parts, x);
    }
  }

  /** The same of exits that ended in a stretch that was joined: at most one of each thread. */
  #divideSeam(spans: ExitSpans, exits: ExitParts): void {
    const places = new Map<number, number>();
    for (let x = 0; x < exits.count; x++) places.set(exits.endsAt[x] as number, x);
    for (let k = 0; k < spans.count; k++) {
      const x = places.get(spans.thread[k] as number);
      if (x !== undefined) this.#addParts(this.#row[k] as number, exits.parts, x);
    }
  }

  #addParts(row: number, parts: Float64Array, x: number): void {
    const states = vcpuStates.length;
    const at = row * states;
    if (at >= this.#parts.length) this.#growParts(at);
    for (let s = 0; s < states; s++) {
      this.#parts[at + s] = (this.#parts[at + s] as number) + (parts[x * states + s] ?? 0);
    }
  }

  #growParts(at: number): void {
    const parts = new Float64Array(2 ** Math.ceil(Math.log2(at + vcpuStates.length) + 1));
    parts.set(this.#parts);
    this.#parts = parts;
  }

  #open(end: number): ExitResult['open'] {
    return [...this.pairing.open()]
      .filter(({ reason, thread, cpu }) => this.#choice.takes(reason, thread, cpu))
      .map(({ thread, begin, reason }) => ({
        vcpu: this.#vcpu(this.pairing.threads[thread] as VcpuThread),
        reason: this.pairing.reasons.names[reason] as string,
        begin,
        age: (end - begin) * (this.options.scale ?? 1),
      }))
      .sort((a, b) => a.begin - b.begin);
  }

  #draw(spans: ExitSpans): void {
    const { halt } = this.pairing.reasons;
    const skip = this.options.halts === true ? undefined : (k: number) => halt[spans.reason[k] as number] === true;
    this.#view.draw(spans, this.#window?.from ?? 0, this.options.scale ?? 1, skip);
  }

  /** The groups with their exits, those that are the same to a reader merged. */
  #rows(): Row[] {
    const { by } = this.options;
    const vcpus = this.#oneEach();
    const rows = new Map<string, Row>();
    this.#view.summaries.forEach((summary, row) => {
      if (summary === undefined) return;
      const key = by.length === 1 ? row : row === maxRows ? -1 : this.#pairs.high(row);
      const group: Group = {};
      if (key >= 0) this.#setGroup(group, by[0] as Dimension, Math.floor(key / 2), vcpus);
      if (key >= 0 && by.length === 2) this.#setGroup(group, by[1] as Dimension, this.#pairs.low(row), vcpus);
      // What found no row any more may hold halts: it counts as none.
      const kind = key >= 0 && key % 2 === 1 ? 'halts' : 'busy';
      // A reason is a halt or is none: where one is both, by other fields, it has two rows.
      const name = JSON.stringify([by.includes('reason') ? kind : '', ...Object.values(group).map((v) => v ?? null)]);
      let merged = rows.get(name);
      if (merged === undefined) {
        merged = { group, busy: new Summary(), halts: new Summary(), parts: { busy: noParts(), halts: noParts() } };
        rows.set(name, merged);
      }
      merged[kind].merge(summary);
      vcpuStates.forEach((state, s) => {
        merged.parts[kind][state] += this.#parts[row * vcpuStates.length + s] ?? 0;
      });
    });
    return [...rows.values()];
  }

  #setGroup(group: Group, dimension: Dimension, key: number, vcpus: readonly Vcpu[]): void {
    switch (dimension) {
      case 'reason':
        group.reason = this.pairing.reasons.names[key] as string;
        break;
      case 'vcpu':
        group.vcpu = vcpus[key] as Vcpu;
        break;
      case 'vm':
        group.vm = (vcpus[key] as Vcpu).vm;
        break;
      case 'rip':
        group.rip = key === maxRips ? 'others' : hex64(this.#rips.high(key), this.#rips.low(key));
        break;
      default:
        group[dimension] = (this.#details[dimension] as ExitDetail).label(key);
    }
  }

  /** The vCPU of each thread. One that ran on several threads one after the other is one vCPU, where the trace tells. */
  #oneEach(): Vcpu[] {
    const first = new Map<string, Vcpu>();
    return this.pairing.threads.map((thread) => {
      const vcpu = this.#vcpu(thread);
      if (vcpu.vm === undefined || vcpu.number === undefined) return vcpu;
      const name = `${vcpu.vm}/${vcpu.number}`;
      const known = first.get(name);
      if (known !== undefined) return known;
      first.set(name, vcpu);
      return vcpu;
    });
  }

  #vcpu(thread: VcpuThread): Vcpu {
    return vcpuOf(thread, this.#trace);
  }
}

/** The id of a value, `limit` where it would be more than so many. */
function idOf(table: IdTable, high: number, low: number, limit: number): number {
  const known = table.find(high, low);
  return known >= 0 ? known : table.size < limit ? table.id(high, low) : limit;
}

function noParts(): Parts {
  return Object.fromEntries(vcpuStates.map((state) => [state, 0])) as Parts;
}

/** The statistics of spans that were counted only. */
function countOf({ count }: Stats): Stats {
  return { ...nothing, total: Number.NaN, count };
}

/** What conditions can be about: all exits that are no halts (`exit`), the halts (`halt`), and each row under its names. */
export function exitSubjects(
  { busy, halts, rows, duration, unit, untimed }: ExitResult,
  names: (group: Group) => readonly string[],
): Subject[] {
  const seconds = unit === 'ns' ? duration / 1e9 : Number.NaN;
  const of = (stats: Stats): Measured => {
    if (untimed === undefined) return measured(stats, busy.total, seconds);
    return { count: stats.count, ...(seconds > 0 ? { rate: stats.count / seconds } : {}) };
  };
  return [
    { kind: 'exit', name: undefined, measured: of(busy) },
    { kind: 'halt', name: undefined, measured: of(halts) },
    ...rows.map((row) => ({ kind: 'exit', name: names(row.group).join(','), measured: of(row.busy ?? row.all) })),
  ];
}

/** Whether it tells something that was seen within an exit. */
export function isDetail(dimension: Dimension): dimension is DetailName {
  return dimension === 'port' || dimension === 'gpa' || dimension === 'msr' || dimension === 'userspace';
}

function distinct(numbers: (number | undefined)[]): boolean {
  return !numbers.includes(undefined) && new Set(numbers).size === numbers.length;
}
