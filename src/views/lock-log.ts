import type { InnerEvent } from '../spans/inner-events.ts';
import type { Mutex } from '../spans/lock-keys.ts';
import type { LockSpans } from '../spans/lock-spans.ts';
import type { Locks } from '../spans/locks.ts';
import { addRuns, type RunHistory, type RunParts } from '../spans/run-history.ts';
import { ThreadEvents } from '../spans/thread-events.ts';
import { maybeBql } from '../spans/thread-roles.ts';
import type { Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { SpanView, type SpanViewPart } from './span-view.ts';

export type LockLogOptions = {
  heatmap?: boolean | undefined;
  slow?: number | undefined;
  than?: number | undefined;
  /** Whether it is of holds rather than waits. */
  holds?: boolean | undefined;
  /** Which mutexes it is about: addresses as `hex64` writes them, or `BQL`; all where it is empty. */
  mutexes?: readonly string[] | undefined;
};

/** A thread that held a mutex during a wait, having locked it at one place; thread and sites are indices into those of `Locks`. */
export type KeptHolder = {
  thread: number;
  site: number;
  inner: number;
  /** For how long meanwhile, and how often; when first, and when it had taken the mutex then. */
  total: number;
  times: number;
  first: number;
  since: number;
  /** What it did meanwhile, as far as that is known. */
  ran: RunParts | undefined;
};

/** What is kept of a slow wait or hold until names are known. */
export type KeptLock = {
  begin: number;
  duration: number;
  cpu: number;
  thread: number;
  mutex: number;
  site: number;
  behind: KeptHolder[];
  omitted: number;
  events: InnerEvent[];
  /** The thread that the events are of. */
  of: number;
  more: boolean;
  ran: RunParts | undefined;
};

/** Holders named of one wait. */
const maxHolders = 16;
/** Mutexes that may be the BQL, followed until that is known. */
const maxCandidates = 16;

type View = SpanView<KeptLock>;

/** The heat map and the slow log of waits, or holds: of all mutexes, or of some. */
export class LockLog {
  readonly #locks: Locks;
  readonly #runs: RunHistory;
  readonly #options: LockLogOptions;
  readonly #mutexes: readonly string[];
  readonly #events: ThreadEvents | undefined;
  readonly #chosen: View;
  /** By mutex: the view that its spans are in; undefined where none so far. */
  readonly #views: (View | undefined)[] = [];
  /** Which mutex is the BQL is known in the end only. */
  readonly #candidates = new Map<number, View>();
  /** By mutex: spans that are in no view. */
  readonly #missed: number[] = [];
  /** By span of the batch. */
  readonly #of: (View | undefined)[] = [];
  #from = 0;

  constructor(locks: Locks, runs: RunHistory, options: LockLogOptions) {
    this.#locks = locks;
    this.#runs = runs;
    this.#options = options;
    this.#mutexes = options.mutexes ?? [];
    this.#chosen = new SpanView(options);
    if (this.#chosen.slowest !== undefined) this.#events = new ThreadEvents((type) => locks.wants(type));
  }

  /** Whether all events are wanted. */
  get wantsAll(): boolean {
    return this.#events !== undefined;
  }

  /** Which stretch of the recording it is of; a whole one where nobody tells. */
  within({ from }: Window): void {
    this.#from = from;
  }

  /** Takes what ended within a batch, after `locks` and `runs` took it. */
  batch(trace: Trace, b: EventBatch): void {
    const { heatmap, holds } = this.#options;
    if (heatmap !== true && this.#events === undefined) return;
    const spans = holds === true ? this.#locks.holds : this.#locks.waits;
    if (this.#mutexes.length === 0) {
      this.#of.length = 0;
      this.#chosen.draw(spans, this.#from);
    } else {
      for (let k = 0; k < spans.count; k++)
        this.#of[k] = this.#viewOf(spans.mutex[k] as number, spans.site[k] as number);
      for (const view of [this.#chosen, ...this.#candidates.values()]) {
        view.draw(spans, this.#from, 1, (k) => this.#of[k] !== view);
      }
    }
    if (this.#events !== undefined) this.#keepSlow(trace, b, spans, this.#events);
  }

  /** Takes what hangs on two stretches that were joined, where there is a heat map only. */
  drawSeam(): void {
    if (this.#options.heatmap !== true) return;
    const spans = this.#options.holds === true ? this.#locks.holds : this.#locks.waits;
    if (spans.count > 0) this.#chosen.draw(spans, this.#from);
  }

  part(): SpanViewPart<KeptLock> {
    return this.#chosen.part();
  }

  join(part: SpanViewPart<KeptLock>): void {
    this.#chosen.join(part, (group) => group);
  }

  /** All of it, now that it is known which mutexes are the BQL; and how many of the BQL's are missing, because that could not be told yet. */
  result(bql: ReadonlySet<number>): { view: View; missed: number } {
    const view: View = new SpanView(this.#options);
    view.merge(this.#chosen);
    let missed = 0;
    if (this.#mutexes.includes('BQL')) {
      for (const mutex of bql) {
        missed += this.#missed[mutex] ?? 0;
        const own = this.#candidates.get(mutex);
        if (own !== undefined) view.merge(own);
      }
    }
    return { view, missed };
  }

  /** Keeps the slow ones, each with what was going on up to its end. */
  #keepSlow(trace: Trace, b: EventBatch, spans: LockSpans, events: ThreadEvents): void {
    events.batch(trace);
    for (let k = 0; k < spans.count; k++) {
      const begin = spans.begin[k] as number;
      const duration = spans.duration[k] as number;
      const view = this.#mutexes.length === 0 ? this.#chosen : this.#of[k];
      if (view?.slowest?.admits(duration, begin) !== true) continue;
      events.advance(b, (spans.endsAt[k] as number) + 1);
      const thread = spans.thread[k] as number;
      const behind = this.#options.holds === true ? [] : this.#holders(spans, k);
      const of = behind[0]?.thread ?? thread;
      const end = begin + duration;
      view.slowest.add({
        begin,
        duration,
        cpu: spans.cpu[k] as number,
        thread,
        mutex: spans.mutex[k] as number,
        site: spans.site[k] as number,
        behind: behind.slice(0, maxHolders),
        omitted: Math.max(0, behind.length - maxHolders),
        of,
        ran: this.#runs.between(this.#tid(thread), begin, end),
        ...events.between(this.#tid(of), begin, end),
      });
    }
    events.advance(b, b.count);
  }

  #holders({ firstStretch, lastStretch }: LockSpans, k: number): KeptHolder[] {
    const { thread, site, inner, since, begin, duration } = this.#locks.stretches;
    const holders = new Map<number, KeptHolder>();
    for (let x = firstStretch[k] as number; x < (lastStretch[k] as number); x++) {
      const key = (thread[x] as number) * 2 ** 20 + (site[x] as number);
      const known = holders.get(key);
      const from = begin[x] as number;
      const ran = this.#runs.between(this.#tid(thread[x] as number), from, from + (duration[x] as number));
      if (known !== undefined) {
        known.total += duration[x] as number;
        known.times++;
        known.ran = addRuns(known.ran, ran);
        if ((inner[x] as number) >= 0) known.inner = inner[x] as number;
        continue;
      }
      holders.set(key, {
        thread: thread[x] as number,
        site: site[x] as number,
        inner: inner[x] as number,
        total: duration[x] as number,
        times: 1,
        first: from,
        since: since[x] as number,
        ran,
      });
    }
    return [...holders.values()].sort((a, b) => b.total - a.total);
  }

  #tid(thread: number): number {
    return this.#locks.threads[thread]?.tid ?? -1;
  }

  #viewOf(mutex: number, site: number): View | undefined {
    const known = this.#views[mutex];
    if (known !== undefined) return known;
    const view = this.#decide(mutex, site);
    while (this.#views.length <= mutex) {
      this.#views.push(undefined);
      this.#missed.push(0);
    }
    this.#views[mutex] = view;
    if (view === undefined) this.#missed[mutex] = (this.#missed[mutex] as number) + 1;
    return view;
  }

  #decide(mutex: number, site: number): View | undefined {
    const { high, low } = this.#locks.mutexes[mutex] as Mutex;
    if (this.#mutexes.includes(hex64(high, low))) return this.#chosen;
    if (!this.#mutexes.includes('BQL') || this.#candidates.size === maxCandidates) return undefined;
    if (!maybeBql(this.#locks.sites[site]?.file ?? '')) return undefined;
    const view: View = new SpanView(this.#options);
    this.#candidates.set(mutex, view);
    return view;
  }
}
