import { type EventsPart, ExitEvents } from '../spans/exit-log.ts';
import type { ExitPairing, ExitSeam, ExitSpans } from '../spans/exits.ts';
import type { InnerEvent } from '../spans/inner-events.ts';
import { LastWaits, type LockWait } from '../spans/lock-waits.ts';
import type { Locks } from '../spans/locks.ts';
import { type ExitParts, type VcpuState, vcpuStates } from '../spans/vcpu-time.ts';
import type { Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { LockNames } from './lock-answers.ts';
import { LocksView } from './locks.ts';
import { Longest, type LongestPart } from './longest.ts';

/** Time by state; their sum is the whole. */
export type Parts = Record<VcpuState, number>;

/** One slow exit, with what happened in it. */
export type SlowExit = {
  /** Time of the kvm_exit, from the trace's origin, in the clock's unit. */
  begin: number;
  duration: number;
  /** Index into the pairing's threads. */
  thread: number;
  /** CPU of the kvm_exit, -1 where unknown. */
  cpu: number;
  reason: string;
  rip: string;
  events: InnerEvent[];
  /** Events of this exit beyond those in `events`. */
  omitted: number;
  /** How the time divides; undefined where the clock counts no ns. */
  parts: Parts | undefined;
  /** How much of the time in KVM the thread was asleep, without a halt. */
  asleep: number;
  /** The longest wait for a mutex of QEMU within it; `Slowest.lockNames` has the names. */
  wait: LockWait | undefined;
};

export type SlowOptions = {
  /** How many to keep: the slowest. */
  limit: number;
  /** Only exits longer than this. */
  than: number;
  /** Whether halts are slow exits too, or only rest. */
  halts: boolean;
  /** Is asked of every exit, and given those in full that it admits. */
  log?: ExitLog | undefined;
  /** QEMU's mutexes, where somebody follows them already: that one takes each batch first. */
  locks?: LocksView | undefined;
};

/** Who may want exits told in full. What it admitted it is given before it is asked of the next. */
export interface ExitLog {
  admits(reason: number, begin: number, duration: number): boolean;
  add(exit: SlowExit): void;
}

/** What `Slowest` learnt of a stretch of a recording, as plain data. */
export type SlowestPart = { longest: LongestPart<SlowExit>; events: EventsPart; mutexes: boolean };

/** Keeps the slowest exits, and what happened in them. */
export class Slowest {
  readonly #options: SlowOptions;
  readonly #pairing: ExitPairing;
  readonly #events: ExitEvents;
  readonly #longest: Longest<SlowExit>;
  readonly #locks: LocksView;
  /** The same where nobody else follows them. */
  readonly #own: LocksView | undefined;
  /** By thread of the pairing; undefined where it never waited. */
  readonly #waits: (LastWaits | undefined)[] = [];
  /** Of a batch: the first wait, and the first exit that was divided, which were not looked at so far. */
  #nextWait = 0;
  #nextPart = 0;

  constructor(pairing: ExitPairing, options: SlowOptions) {
    this.#pairing = pairing;
    this.#options = options;
    this.#longest = new Longest(options.limit, options.than);
    this.#events = new ExitEvents(pairing);
    this.#own = options.locks === undefined ? new LocksView() : undefined;
    this.#locks = options.locks ?? (this.#own as LocksView);
  }

  /** How many exits were longer than the threshold. */
  get over(): number {
    return this.#longest.over;
  }

  get locks(): Locks {
    return this.#locks.locks;
  }

  /** Which stretch of the recording the exits are of. */
  within(window: Window): void {
    this.#own?.within(window);
  }

  /** Events behind that: they tell what mutexes and threads are. */
  behind(trace: Trace, b: EventBatch): void {
    this.#own?.behind(trace, b);
  }

  /** Follows QEMU's mutexes through a batch, before `batch` is called with it. */
  follow(trace: Trace, b: EventBatch): void {
    this.#own?.batch(trace, b);
  }

  /** Takes the batch that pairing took just now, and how the exits that ended divide. */
  batch(trace: Trace, b: EventBatch, spans: ExitSpans, divided?: ExitParts): void {
    const { halts, log } = this.#options;
    const { halt } = this.#pairing.reasons;
    const { locks } = this.#locks;
    const longest = this.#longest;
    this.#nextWait = 0;
    this.#nextPart = 0;
    this.#events.batch(trace, b, spans, (k) => {
      const duration = spans.duration[k] as number;
      const reason = spans.reason[k] as number;
      const begin = spans.begin[k] as number;
      const logged = log?.admits(reason, begin, duration) === true;
      const ranked = (halt[reason] !== true || halts) && longest.admits(duration, begin);
      if (!logged && !ranked) return;
      const exit = this.#describe(b, spans, k, divided);
      if (logged) log.add(exit);
      if (ranked) longest.add(exit);
    });
    while (this.#nextWait < locks.waits.count) this.#note(this.#nextWait++);
  }

  /** Exit `k`, which is ending, in full; they are asked for in their order. */
  #describe(b: EventBatch, spans: ExitSpans, k: number, divided: ExitParts | undefined): SlowExit {
    const { waits } = this.#locks.locks;
    const thread = spans.thread[k] as number;
    const begin = spans.begin[k] as number;
    const end = spans.endsAt[k] as number;
    while (this.#nextWait < waits.count && (waits.endsAt[this.#nextWait] as number) < end) this.#note(this.#nextWait++);
    let part = this.#nextPart;
    while (divided !== undefined && part < divided.count && (divided.endsAt[part] as number) < end) part++;
    this.#nextPart = part;
    const known = divided !== undefined && part < divided.count && divided.endsAt[part] === end;
    return {
      ...this.#slow(spans, k),
      ...this.#events.events(thread, b, begin),
      parts: known ? partsOf(divided, part) : undefined,
      asleep: known ? (divided.asleep[part] as number) : 0,
      wait: this.#waits[thread]?.longest(begin),
    };
  }

  inMiddle(): void {
    this.#events.inMiddle();
  }

  part(): SlowestPart {
    return { longest: this.#longest.part(), events: this.#events.part(), mutexes: this.#mutexes };
  }

  accepts({ events, mutexes }: SlowestPart): boolean {
    return !mutexes && !this.#mutexes && this.#events.accepts(events);
  }

  /** Before pairing is joined. */
  joinAhead({ events }: SlowestPart): void {
    this.#events.joinAhead(events);
  }

  /** Takes over what another, with the same options, learnt of the stretch that follows, after pairing did. `divided` is how the exits' time divides that ended at the seam: their \`endsAt\` are threads. */
  join({ longest, events }: SlowestPart, { spans, threads }: ExitSeam, divided: ExitParts | undefined): void {
    const { reasons } = this.#pairing;
    for (let k = 0; k < spans.count; k++) {
      const [begin, duration] = [spans.begin[k] as number, spans.duration[k] as number];
      const reason = spans.reason[k] as number;
      if (reasons.halt[reason] === true && !this.#options.halts) continue;
      if (!this.#longest.admits(duration, begin)) continue;
      const thread = spans.thread[k] as number;
      const part = divided?.endsAt.subarray(0, divided.count).indexOf(thread) ?? -1;
      this.#longest.add({
        ...this.#slow(spans, k),
        ...this.#events.earlier(thread, begin),
        parts: divided !== undefined && part >= 0 ? partsOf(divided, part) : undefined,
        asleep: divided !== undefined && part >= 0 ? (divided.asleep[part] as number) : 0,
        wait: this.#waits[thread]?.longest(begin),
      });
    }
    this.#events.join(events, threads);
    const items = longest.items.map((item) => ({ ...item, thread: threads[item.thread] as number }));
    this.#longest.join({ ...longest, items });
  }

  /** Whether QEMU's mutexes were recorded: who waits for which, and what they are called, is known only to who reads on. */
  get #mutexes(): boolean {
    const { lock, locked, unlock } = this.#locks.locks.counts;
    return lock + locked + unlock > 0;
  }

  #slow(spans: ExitSpans, k: number): Pick<SlowExit, 'begin' | 'duration' | 'thread' | 'cpu' | 'reason' | 'rip'> {
    return {
      begin: spans.begin[k] as number,
      duration: spans.duration[k] as number,
      thread: spans.thread[k] as number,
      cpu: spans.cpu[k] as number,
      reason: this.#pairing.reasons.names[spans.reason[k] as number] as string,
      rip: hex64(spans.ripHigh[k] as number, spans.ripLow[k] as number),
    };
  }

  /** The slowest first; equally slow ones in order of time. */
  result(): SlowExit[] {
    return this.#longest.result();
  }

  /** What people call the mutexes, threads and call sites that exits waited for, as far as it is known now. */
  lockNames(): LockNames {
    return this.#locks.names();
  }

  /** Notes a wait that ended, where it was a vCPU's. */
  #note(k: number): void {
    const { locks } = this.#locks;
    const { tid } = locks.threads[locks.waits.thread[k] as number] ?? { tid: -1 };
    const thread = this.#pairing.find(tid);
    if (thread < 0) return;
    while (this.#waits.length <= thread) this.#waits.push(undefined);
    let last = this.#waits[thread];
    if (last === undefined) {
      last = new LastWaits();
      this.#waits[thread] = last;
    }
    last.add(locks, k);
  }
}

function partsOf({ parts }: ExitParts, k: number): Parts {
  return Object.fromEntries(vcpuStates.map((state, s) => [state, parts[k * vcpuStates.length + s] as number])) as Parts;
}
