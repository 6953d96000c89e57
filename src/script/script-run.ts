import { parseLength } from '../report/units.ts';
import { Carriers } from '../spans/carriers.ts';
import { isEntry } from '../spans/exits.ts';
import { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import type { AnyFields, Tick, Tools } from './analyzer.ts';
import { argumentsOf } from './arguments.ts';
import { Cursor, type Stamp } from './cursor.ts';
import { type EventNames, eventNames } from './event-names.ts';
import { messageOf, placeOf, type Script } from './load.ts';
import { ScriptError } from './script-error.ts';
import { isSpanName, SpanDispatch } from './span-dispatch.ts';
import { type PairOptions, PairSource, type SpanSource } from './span-sources.ts';
import { Timer } from './timer.ts';

/** What scripts need from who runs them. */
export type Host = Pick<Tools, 'args'> & {
  /** Prints values; rates are per second of `seconds`. */
  print(values: readonly unknown[], seconds: number): void;
  stamp: Stamp;
};

// biome-ignore lint/complexity/noBannedTypes: what a script's handlers take is known when they are called
type Handler = Function;

/** A script that has begun: its handlers by name. */
type Running = {
  file: string;
  self: object;
  handlers: Map<string, Handler>;
  events: (EventNames & { name: string; call: Handler })[];
  spans: { name: string; source: SpanSource }[];
};

/** A handler to be called for events or spans, and whose it is. */
type Bound = { running: Running; name: string; call: Handler };

/** What handles the events of a type. */
type Dispatch = { args: AnyFields; bound: readonly Bound[] };

/** Handlers that are called neither for events nor for spans. */
const special = ['begin', 'end', 'catchall', 'lost'];

/** Runs the handlers of several scripts in one pass over a trace: event by event, and for each event script by script. */
export class ScriptRun {
  /** True once a script wants no more events. */
  enough = false;
  readonly #running: Running[] = [];
  readonly #timers: { running: Running; name: string; timer: Timer }[] = [];
  readonly #spans = new SpanDispatch<Bound>();
  readonly #carriers = new Carriers();
  readonly #trace: Trace;
  readonly #cursor: Cursor;
  readonly #host: Host;
  /** By type id: undefined before the first event of a type, null where nobody handles it. */
  readonly #dispatch: (Dispatch | null | undefined)[] = [];
  /** By type id: whether it may say which vCPU its thread runs. */
  readonly #entries: boolean[] = [];
  /** Times of the first event and of the last. */
  #first = Number.NaN;
  #last = Number.NaN;
  /** When the earliest timer is due. */
  #due = Number.POSITIVE_INFINITY;
  /** Whether scripts may add timers and pairs. */
  #settingUp = true;
  /** What is called now, for the sentence that says where an error arose. */
  #in: Pick<Bound, 'running' | 'name'> | undefined;

  /** Sets the scripts up. Throws a ScriptError where one of them throws, or its handlers are not what they should be. */
  constructor(trace: Trace, scripts: readonly Script[], host: Host) {
    this.#trace = trace;
    this.#host = host;
    this.#cursor = new Cursor(trace, new EventBatch(0), host.stamp);
    for (const script of scripts) this.#setUp(script);
    this.#settingUp = false;
  }

  /** Calls the `begin` handlers. To be called before the first batch. */
  async begin(): Promise<void> {
    await this.#callEach('begin');
  }

  /** Calls the `end` handlers, after the last batch. `last` is the time of the last event that was read. */
  async end(last: number): Promise<void> {
    this.#last = last;
    this.#guarded(() => this.#tick(last));
    await this.#callEach('end');
  }

  /** Handlers that could not be called, by script: names that no event of the trace has, and spans whose events it lacks. */
  unused(): { file: string; events: string[]; spans: { name: string; needs: string }[]; all: boolean }[] {
    return this.#running.map(({ file, events, spans, handlers }) => {
      const names = events.filter((event) => event.unused()).map(({ name }) => name);
      const lacking = spans.filter(({ source }) => !source.seen);
      return {
        file,
        events: names,
        spans: lacking.map(({ name, source }) => ({ name, needs: source.needs })),
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

  batch(_: Trace, b: EventBatch): void {
    this.#guarded(() => {
      for (const loss of b.losses) this.#lose(loss);
      this.#handle(b);
    });
  }

  #handle(b: EventBatch): void {
    const cursor = this.#cursor;
    const dispatch = this.#dispatch;
    const entries = this.#entries;
    const { type: types, time, count } = b;
    const spans = this.#spans;
    cursor.b = b;
    spans.batch(this.#trace, b);
    if (Number.isNaN(this.#first) && count > 0) this.#start(time[0] as number);
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
      if (this.enough) break;
    }
    this.#in = undefined;
  }

  #call(bound: Bound, first: object): void {
    this.#in = bound;
    bound.call.call(bound.running.self, first, this.#cursor);
  }

  #setUp(script: Script): void {
    const { file } = script;
    const running: Running = { file, self: {}, handlers: new Map(), events: [], spans: [] };
    this.#in = { running, name: 'setup' };
    this.#guarded(() => {
      const { args } = this.#host;
      const print = (...values: unknown[]) => this.#host.print(values, this.#seconds());
      const stop = () => {
        this.enough = true;
      };
      const every = (period: string, call: Handler) => this.#addTimer(running, period, call);
      const pair = (options: PairOptions, call: Handler) => this.#addPair(running, options, call);
      const handlers = script.setup({ print, args, stop, every, pair });
      if (typeof handlers !== 'object' || handlers === null) {
        throw new ScriptError('its setup function gives no handlers; expected an object: { virtqueue_pop(…) { … } }');
      }
      running.self = handlers;
      for (const [name, call] of Object.entries(handlers)) if (call !== undefined) this.#add(running, name, call);
      if (running.handlers.size + running.spans.length === 0) throw new ScriptError('it has no handlers');
    });
    this.#running.push(running);
  }

  #add(running: Running, name: string, call: unknown): void {
    const handler = checked(name, call);
    running.handlers.set(name, handler);
    if (special.includes(name)) return;
    const bound = { running, name, call: handler };
    if (isSpanName(name)) running.spans.push({ name, source: this.#spans.addNamed(name, bound) });
    else running.events.push({ ...eventNames(name), name, call: handler });
  }

  #addPair(running: Running, options: PairOptions, call: unknown): void {
    if (!this.#settingUp) throw new ScriptError('pair is for the setup function of analyzer');
    const name = `pair from ${options.from} to ${options.to}`;
    const source = new PairSource(options);
    this.#spans.add(name, source, { running, name, call: checked(name, call) });
    running.spans.push({ name, source });
  }

  #addTimer(running: Running, period: string, call: unknown): void {
    if (!this.#settingUp) throw new ScriptError('every is for the setup function of analyzer');
    const { clock, file } = this.#trace;
    const length = parseLength(period);
    const name = `every('${period}')`;
    if (length === undefined || length < 1)
      throw new ScriptError(`${name}: expected a period with its unit: 100us, 1.5s`);
    if (clock.unit !== 'ns') {
      const why = clock.unit === 'none' ? 'have no time stamps' : 'count cycles of unknown length';
      throw new ScriptError(`there is no ${name}: the events of ${file} ${why}`);
    }
    const timer = new Timer(length, checked(name, call) as (tick: Tick) => void, this.#trace, this.#host.stamp);
    this.#timers.push({ running, name, timer });
  }

  /** How much time has gone by since the first event; NaN where nobody knows how long a unit of the clock is. */
  #seconds(): number {
    if (this.#trace.clock.unit !== 'ns') return Number.NaN;
    const now = Number.isNaN(this.#last) ? this.#cursor.time : this.#last;
    return now > this.#first ? (now - this.#first) / 1e9 : Number.NaN;
  }

  #start(time: number): void {
    this.#first = time;
    for (const { timer } of this.#timers) timer.start(time);
    this.#setDue();
  }

  #tick(time: number): void {
    const before = this.#in;
    for (const { timer } of this.#timers) timer.skipIdle(time);
    while (this.#due <= time) {
      // The earliest first, so that several timers are called in order of time.
      const { timer, ...whose } = this.#timers.reduce((a, b) => (b.timer.next < a.timer.next ? b : a));
      this.#in = whose;
      timer.tick();
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
    const taken = bound.length > 0 && (!type.name.startsWith('qemu:') || this.#carriers.takes(type));
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

/** A handler that is a function which does its work at once. */
function checked(name: string, call: unknown): Handler {
  if (typeof call !== 'function') throw new ScriptError(`${name} is no function`);
  if (name !== 'begin' && name !== 'end' && call.constructor.name === 'AsyncFunction') {
    throw new ScriptError(`${name} is async, and only begin and end can be: events do not wait`);
  }
  return call;
}
