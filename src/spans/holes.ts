import { isReadable, openAgain, opensAgain, sourceOf } from '../trace/again.ts';
import type { Joinable } from '../trace/analysis.ts';
import { type EventBatch, partOf } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Thread, Trace } from '../trace/trace.ts';
import { isWatched, Watch, type WatchPart } from './hole-watch.ts';
import { LossTable } from './losses.ts';

/*
 * Holes that nothing marks. A recorder that lost events does not always say so (a buffer that was read too late, text that was pasted in
 * parts), but what comes after can contradict what came before: a vCPU that leaves the guest twice, a CPU that is left by a thread that it
 * did not run. Each contradiction is a Loss like those that recorders mark, so that everybody who heeds losses heeds it.
 */

/** What one reading of a recording found out of its holes, for another that then knows of each before it comes. */
export type Foresight = {
  /** That the times of `holes` count from. */
  origin: bigint;
  holes: readonly Loss[];
  /** How long the shortest of those is that nothing marks, and in which nothing at all was recorded; Infinity where there is none. */
  least: number;
  /** What a person should know of contradictions that are no holes, one sentence each. */
  notes: readonly string[];
};

/** The same trace, whose batches hold the holes that nothing marks among their losses. Its events are those of `trace`. */
export function watched(trace: Trace, foresight?: Foresight): WatchedTrace {
  const watched = new WatchedTrace(trace, foresight);
  if (isReadable(trace)) opensAgain(watched, () => openAgain(trace) as Promise<Trace>, sourceOf(trace));
  return watched;
}

/** Holes remembered for another reading. */
const maxHoles = 1 << 16;
/** What a reading of a stretch of a recording found out of its holes, for that of the stretch before. */
export type HolesPart = { watch: WatchPart; found: readonly Loss[]; late: boolean; last: number };

export class WatchedTrace implements Trace, Joinable<HolesPart> {
  readonly #trace: Trace;
  readonly #foresight: Foresight | undefined;
  #holes: readonly Loss[] | undefined;
  /** The losses of this reading, those without a mark among them. */
  readonly #found: Loss[] = [];
  readonly #watch: Watch;
  #begun = false;
  /** Whether a hole was known only after events that came after its beginning. */
  #late = false;
  /** Whether something was counted that such a hole makes wrong. */
  #regretted = false;
  /** Time of the last event that was given. */
  #last = Number.NEGATIVE_INFINITY;

  constructor(trace: Trace, foresight: Foresight | undefined) {
    this.#trace = trace;
    this.#foresight = foresight;
    this.#watch = new Watch(trace, foresight?.least);
  }

  get file(): string {
    return this.#trace.file;
  }
  get format(): string {
    return this.#trace.format;
  }
  get traits(): Trace['traits'] {
    return this.#trace.traits;
  }
  get version(): string {
    return this.#trace.version;
  }
  get clock(): Trace['clock'] {
    return this.#trace.clock;
  }
  get origin(): bigint {
    return this.#trace.origin;
  }
  get types(): readonly EventType[] {
    return this.#trace.types;
  }
  get threads(): ReadonlyMap<number, Thread> {
    return this.#trace.threads;
  }
  get cpus(): number | undefined {
    return this.#trace.cpus;
  }
  get notes(): readonly string[] {
    return [...this.#trace.notes, ...(this.#foresight?.notes ?? [])];
  }
  get damage(): Trace['damage'] {
    return this.#trace.damage;
  }
  get repeated(): Trace['repeated'] {
    return this.#trace.repeated;
  }
  get alignments(): Trace['alignments'] {
    return this.#trace.alignments;
  }
  get doubtful(): boolean | undefined {
    return this.#trace.doubtful;
  }
  get companions(): Trace['companions'] {
    return this.#trace.companions;
  }
  get end(): (() => void) | undefined {
    return this.#trace.end?.bind(this.#trace);
  }
  get last(): number {
    return this.#trace.last;
  }
  get divisible(): Trace['divisible'] {
    return this.#trace.divisible;
  }
  /** What was known of its holes beforehand. */
  get known(): Foresight | undefined {
    return this.#foresight;
  }
  get holes(): readonly Loss[] | undefined {
    return this.#holes;
  }

  regret(): void {
    this.#regretted = true;
  }

  /** Whether the answers would be others, had all holes been known from the start. Of the whole recording: of a stretch of it, losses are not told to everybody. */
  get regrets(): boolean {
    return this.#regretted && this.foresight !== undefined;
  }

  progress(): { read: number; size: number | undefined } {
    return this.#trace.progress();
  }

  close(): Promise<void> {
    return this.#trace.close();
  }

  /** What a further reading should know beforehand; undefined where it would learn nothing that this one did not know in time. */
  get foresight(): Foresight | undefined {
    const watch = this.#watch;
    if (!this.#late || this.#found.length >= maxHoles) return undefined;
    const marked = new LossTable();
    for (const loss of this.#found) if (loss.unmarked === undefined) marked.add(loss);
    const explained = (from: number, to: number, cpu: number) => marked.straddle(from, to, cpu, cpu);
    let least = Number.POSITIVE_INFINITY;
    const holes = this.#found.filter(({ from, to, cpu, unmarked }) => {
      if (unmarked === undefined) return true;
      // A mark that came later explains it, or it is no hole at all.
      if (unmarked.why === 'silence' || watch.doubts(unmarked.why) || explained(from, to, unmarked.ofThread ? -1 : cpu))
        return false;
      if (unmarked.alone) least = Math.min(least, to - from);
      return true;
    });
    return { origin: this.origin, holes, least, notes: watch.notes };
  }

  async *batches(wants: (type: EventType) => boolean = () => true): AsyncGenerator<EventBatch> {
    const source = this.#trace.batches((type) => {
      const asked = wants(type);
      return isWatched(type) || asked;
    });
    for await (const b of source) yield* this.watch(b);
  }

  /** A batch, cut where there are holes that nothing marks. */
  *watch(b: EventBatch): Generator<EventBatch> {
    const watch = this.#watch;
    if (this.#foresight !== undefined && !this.#begun && b.count > 0) {
      this.#begun = true;
      const { holes, origin } = this.#foresight;
      const shift = Number(origin - this.origin);
      this.#holes = holes.map((loss) => ({ ...loss, from: loss.from + shift, to: loss.to + shift }));
      watch.expect(this.#holes, b.time[0] as number);
    }
    for (const loss of b.losses) {
      this.#note(loss);
      watch.lose(loss);
    }
    watch.learnTypes();
    let losses = b.losses;
    let start = 0;
    for (let i = watch.scan(b, 0); i < b.count; i = watch.scan(b, i + 1)) {
      if (i > start) {
        yield partOf(b, start, i, losses);
        this.#last = b.time[i - 1] as number;
        losses = [];
      }
      for (const loss of watch.found) this.#note(loss);
      losses = [...losses, ...watch.found];
      watch.found = [];
      start = i;
    }
    if (b.count > 0) this.#last = b.time[b.count - 1] as number;
    if (start > 0) yield partOf(b, start, b.count, losses);
    else {
      b.losses = losses;
      yield b;
    }
  }

  inMiddle(): void {
    this.#watch.inMiddle();
  }

  part(): HolesPart {
    return { watch: this.#watch.part(), found: this.#found, late: this.#late, last: this.#last };
  }

  /** No where something contradicts what was before: that is a hole, which its stretch is to know of. */
  accepts({ watch }: HolesPart): boolean {
    return this.#watch.accepts(watch, this.#last);
  }

  /** What was found in the stretch that follows, all of whose batches another gave. */
  join(_: Trace, { watch, found, late, last }: HolesPart): void {
    this.#watch.join(watch, last);
    this.#late ||= late || found.some(({ from }) => from < this.#last);
    // Nobody knows what was counted there.
    this.#regretted ||= this.#late;
    for (const loss of found) if (this.#found.length < maxHoles) this.#found.push(loss);
    this.#last = Math.max(this.#last, last);
  }

  #note(loss: Loss): void {
    if (loss.unmarked !== undefined || loss.from < this.#last) this.#late = true;
    if (loss.unmarked !== undefined) this.#regretted = true;
    if (this.#found.length < maxHoles) this.#found.push(loss);
  }
}
