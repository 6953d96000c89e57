import { isEntry } from '../spans/exit-events.ts';
import { FirstSources } from '../spans/first-sources.ts';
import { type Analysis, isBefore, type Window, wholeOf } from '../trace/analysis.ts';
import { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import type { Reading } from '../views/reading.ts';
import type { AnyFields } from './analyzer.ts';
import { argumentsOf } from './arguments.ts';
import { Cursor, type Stamp } from './cursor.ts';
import { messageOf, placeOf } from './load.ts';
import { ScriptError } from './script-error.ts';
import type { Bound, Regular, Running, Setup } from './setup.ts';
import type { SpanDispatch } from './span-dispatch.ts';
import { Timer } from './timer.ts';

/** What handles the events of a type. */
type Dispatch = { args: AnyFields; bound: readonly Bound[] };

/** Runs the handlers of several scripts in one pass over a trace: event by event, and for each event script by script. */
export class ScriptRun implements Analysis {
  readonly #setup: Setup;
  readonly #running: readonly Running[];
  readonly #spans: SpanDispatch<Bound>;
  readonly #timers: (Regular & { timer: Timer })[];
  readonly #sources = new FirstSources();
  readonly #trace: Trace;
  readonly #cursor: Cursor;
  /** By type id: undefined before the first event of a type, null where nobody handles it. */
  readonly #dispatch: (Dispatch | null | undefined)[] = [];
  /** By type id: whether it may say which vCPU its thread runs. */
  readonly #entries: boolean[] = [];
  #window: Window | undefined;
  #timing = false;
  #over = false;
  /** When the earliest timer is due. */
  #due = Number.POSITIVE_INFINITY;
  /** What is called now, for the sentence that says where an error arose. */
  #in: Pick<Bound, 'running' | 'name'> | undefined;

  /** Throws a ScriptError where a script has timers, and the trace no time. */
  constructor(trace: Trace, setup: Setup) {
    this.#trace = trace;
    this.#setup = setup;
    this.#running = setup.running;
    this.#spans = setup.spans;
    setup.seconds = () => this.#seconds();
    const stamp = stamps(trace);
    this.#cursor = new Cursor(trace, new EventBatch(0), stamp);
    this.#timers = setup.timers.map((regular) => {
      const { running, name, period, call } = regular;
      if (trace.clock.unit !== 'ns') {
        const why = trace.clock.unit === 'none' ? 'have no time stamps' : 'count cycles of unknown length';
        throw new ScriptError(`${running.file}: there is no ${name}: the events of ${trace.file} ${why}`);
      }
      return { ...regular, timer: new Timer(period, call, trace, stamp) };
    });
  }

  /** True once a script wants no more events. */
  get enough(): boolean {
    return this.#setup.enough;
  }

  /** Calls the `begin` handlers. To be called before the first batch. */
  async begin(): Promise<void> {
    await this.#callEach('begin');
  }

  /** Calls the `end` handlers, after the last batch; `reading` is how it went. */
  async end({ last, window }: Pick<Reading, 'last' | 'window'>): Promise<void> {
    this.#over = true;
    this.#guarded(() => {
      this.#tick(last);
      if (!this.#setup.enough) this.#spans.finish(window.to, (bound, span) => this.#call(bound, span));
    });
    await this.#callEach('end');
  }

  /** Handlers that could not be called, by script: names that no event of the trace has, and spans whose events it lacks. */
  unused(): { file: string; events: string[]; spans: { name: string; needs: string }[]; all: boolean }[] {
    return this.#running.map(({ file, events, spans, handlers }) => {
      const names = events.filter((event) => event.unused()).map(({ name }) => name);
      const lacking = spans.filter((one) => !one.held.seen);
      return {
        file,
        events: names,
        spans: lacking.map(({ name, kind }) => ({ name, needs: kind.needs })),
        all: names.length === events.length && lacking.length === spans.length && !handlers.has('catchall'),
      };
    });
  }

  /** Whether anything is made of two events, between which others may be lost. */
  get hasSpans(): boolean {
    return this.#running.some(({ spans }) => spans.length > 0);
  }

  wants(type: EventType): boolean {
    const entry = isEntry(type);
    this.#entries[type.id] = entry;
    // All are asked, so that each knows whether its events occur.
    const spans = this.#spans.wants(type);
    return this.#handlersOf(type).length > 0 || spans || entry;
  }

  /** From when on handlers are called. Of what was before, spans learn, and which vCPU a thread runs. */
  within(window: Window): void {
    this.#window = window;
    this.#spans.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#guarded(() => {
      const { from, to } = this.#window ?? wholeOf(trace);
      for (const loss of b.losses) if (loss.to >= from && loss.from <= to) this.#lose(loss);
      if (isBefore(b, from)) this.#learn(trace, b);
      else this.#handle(b);
    });
  }

  /** The recording is read on while it may still hold what handlers are for, which a mistake in their names would not. */
  behind(trace: Trace, b: EventBatch): void {
    this.#spans.behind(trace, b);
  }

  curious(): boolean {
    return this.unused().some(({ events, spans }) => events.length + spans.length > 0);
  }

  #learn(trace: Trace, b: EventBatch): void {
    this.#spans.batch(trace, b);
    for (let i = 0; i < b.count; i++) if (this.#entries[b.type[i] as number] === true) this.#cursor.note(b, i);
  }

  #handle(b: EventBatch): void {
    const cursor = this.#cursor;
    const dispatch = this.#dispatch;
    const entries = this.#entries;
    const { type: types, time, count } = b;
    const spans = this.#spans;
    const setup = this.#setup;
    cursor.b = b;
    spans.batch(this.#trace, b);
    if (!this.#timing && count > 0) this.#start(time[0] as number);
    for (let i = 0; i < count; i++) {
      const id = types[i] as number;
      if (entries[id] === true) cursor.note(b, i);
      let handling = dispatch[id];
      if (handling === undefined) handling = this.#prepare(id);
      if (handling === null && i !== spans.next) continue;
      if ((time[i] as number) >= this.#due) this.#tick(time[i] as number);
      cursor.i = i;
      if (handling !== null) {
        const { args, bound } = handling;
        for (let n = 0; n < bound.length; n++) this.#call(bound[n] as Bound, args);
      }
      if (i === spans.next) spans.call((bound, span) => this.#call(bound, span));
      if (setup.enough) break;
    }
    this.#in = undefined;
  }

  #call(bound: Bound, first: object): void {
    this.#in = bound;
    bound.call.call(bound.running.self, first, this.#cursor);
  }

  /** How much of the stretch that is asked about has gone by; NaN where nobody knows how long a unit of the clock is. */
  #seconds(): number {
    if (this.#trace.clock.unit !== 'ns') return Number.NaN;
    const { from, to } = this.#window ?? wholeOf(this.#trace);
    const now = this.#over ? to : this.#cursor.time;
    return now > from ? (now - from) / 1e9 : Number.NaN;
  }

  #start(time: number): void {
    this.#timing = true;
    for (const { timer } of this.#timers) timer.start(time);
    this.#setDue();
  }

  #tick(time: number): void {
    const before = this.#in;
    for (const { timer } of this.#timers) timer.skipIdle(time);
    while (this.#due <= time) {
      // The earliest first, so that several timers are called in order of time.
      const due = this.#timers.reduce((a, b) => (b.timer.next < a.timer.next ? b : a));
      this.#in = due;
      due.timer.tick();
      this.#setDue();
    }
    this.#in = before;
  }

  #setDue(): void {
    this.#due = this.#timers.reduce((due, { timer }) => Math.min(due, timer.next), Number.POSITIVE_INFINITY);
  }

  #lose(loss: Loss): void {
    for (const running of this.#running) {
      const call = running.handlers.get('lost');
      if (call === undefined) continue;
      this.#in = { running, name: 'lost' };
      call.call(running.self, loss);
    }
    this.#in = undefined;
  }

  /** Called with the first event of a type. */
  #prepare(id: number): Dispatch | null {
    const type = this.#trace.types[id] as EventType;
    const bound = this.#handlersOf(type);
    const taken = bound.length > 0 && (!type.name.startsWith('qemu:') || this.#sources.takes(type));
    const handling = taken ? { args: argumentsOf(type, this.#cursor) as AnyFields, bound } : null;
    while (this.#dispatch.length <= id) this.#dispatch.push(undefined);
    this.#dispatch[id] = handling;
    return handling;
  }

  #handlersOf(type: EventType): Bound[] {
    const found: Bound[] = [];
    for (const running of this.#running) {
      const before = found.length;
      for (const { name, takes, call } of running.events) {
        if (takes(type)) found.push({ running, name, call });
      }
      const catchall = running.handlers.get('catchall');
      if (found.length === before && catchall !== undefined) {
        found.push({ running, name: 'catchall', call: catchall });
      }
    }
    return found;
  }

  async #callEach(name: 'begin' | 'end'): Promise<void> {
    for (const running of this.#running) {
      const call = running.handlers.get(name);
      if (call === undefined) continue;
      this.#in = { running, name };
      try {
        await call.call(running.self);
      } catch (error) {
        throw this.#explained(error);
      }
    }
    this.#in = undefined;
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /** What a script threw, as a sentence with its place in the script, the event and its time. */
  #explained(error: unknown): unknown {
    if (this.#in === undefined) return error;
    const { running, name } = this.#in;
    const { file, events, spans } = running;
    const here = () => `${this.#cursor.event} at ${this.#cursor.stamp}`;
    let where = name;
    if (name === 'catchall' || events.some((event) => event.name === name)) where = here();
    else if (spans.some((span) => span.name === name)) where = `${name}, for ${here()}`;
    return new ScriptError(`${placeOf(error) ?? file}: ${messageOf(error)} (in ${where})`);
  }
}

/** Time stamps; a merged trace's origin is known only with its first batch. */
function stamps(trace: Trace): Stamp {
  let write: Stamp | undefined;
  return (offset) => {
    write ??= timestamps(trace.origin, trace.clock.unit);
    return write(offset);
  };
}
