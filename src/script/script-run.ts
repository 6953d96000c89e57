import { parseLength } from '../report/units.ts';
import { Carriers } from '../spans/carriers.ts';
import { Reasons, reasonDecoder } from '../spans/exit-reasons.ts';
import { isEntry, isExit } from '../spans/exits.ts';
import { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import type { Trace } from '../trace/trace.ts';
import { EventPatterns } from '../views/event-pattern.ts';
import type { AnyFields, EventHandler, Tick, Tools } from './analyzer.ts';
import { argumentsOf } from './arguments.ts';
import { Cursor, type Stamp } from './cursor.ts';
import { messageOf, placeOf, type Script } from './load.ts';
import { ScriptError } from './script-error.ts';
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
type Running = { file: string; self: object; handlers: Map<string, Handler>; events: EventNames[] };

/** The events that a handler names. */
type EventNames = { name: string; takes(type: EventType): boolean; unused(): boolean; call: Handler };

/** A handler to be called for events of a type, and whose it is. */
type Bound = { running: Running; name: string; call: EventHandler<AnyFields> };

/** What handles the events of a type. */
type Dispatch = { args: AnyFields; bound: readonly Bound[] };

/** Handlers that are not called for events. */
const special = ['begin', 'end', 'catchall', 'lost'];

/** Runs the handlers of several scripts in one pass over a trace: event by event, and for each event script by script. */
export class ScriptRun {
  /** True once a script wants no more events. */
  enough = false;
  readonly #running: Running[] = [];
  readonly #timers: { running: Running; name: string; timer: Timer }[] = [];
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
  /** What is called now, for the sentence that says where an error arose. */
  #in: Pick<Bound, 'running' | 'name'> | undefined;

  /** Sets the scripts up. Throws a ScriptError where one of them throws, or its handlers are not what they should be. */
  constructor(trace: Trace, scripts: readonly Script[], host: Host) {
    this.#trace = trace;
    this.#host = host;
    this.#cursor = new Cursor(trace, new EventBatch(0), host.stamp);
    for (const script of scripts) this.#setUp(script);
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

  /** Handlers whose names no event of the trace has, by script. */
  unused(): { file: string; names: string[]; all: boolean }[] {
    return this.#running.map(({ file, events, handlers }) => {
      const names = events.filter((event) => event.unused()).map(({ name }) => name);
      return { file, names, all: names.length > 0 && names.length === events.length && !handlers.has('catchall') };
    });
  }

  wants(type: EventType): boolean {
    const entry = isEntry(type);
    this.#entries[type.id] = entry;
    // All are asked, so that each knows whether its events occur.
    return this.#handlersOf(type).length > 0 || entry;
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
    cursor.b = b;
    if (Number.isNaN(this.#first) && count > 0) this.#start(time[0] as number);
    for (let i = 0; i < count; i++) {
      const id = types[i] as number;
      if (entries[id] === true) cursor.note(b, i);
      let handling = dispatch[id];
      if (handling === undefined) handling = this.#prepare(id);
      if (handling === null) continue;
      if ((time[i] as number) >= this.#due) this.#tick(time[i] as number);
      cursor.i = i;
      const { args, bound } = handling;
      for (let n = 0; n < bound.length; n++) {
        const one = bound[n] as Bound;
        this.#in = one;
        one.call.call(one.running.self, args, cursor);
      }
      if (this.enough) break;
    }
    this.#in = undefined;
  }

  #setUp(script: Script): void {
    const { file } = script;
    const running: Running = { file, self: {}, handlers: new Map(), events: [] };
    this.#in = { running, name: 'setup' };
    this.#guarded(() => {
      const { args } = this.#host;
      const print = (...values: unknown[]) => this.#host.print(values, this.#seconds());
      const stop = () => {
        this.enough = true;
      };
      const every: Tools['every'] = (period, call) => this.#addTimer(running, period, call);
      const handlers = script.setup({ print, args, stop, every });
      if (typeof handlers !== 'object' || handlers === null) {
        throw new ScriptError('its setup function gives no handlers; expected an object: { virtqueue_pop(…) { … } }');
      }
      running.self = handlers;
      for (const [name, call] of Object.entries(handlers)) if (call !== undefined) this.#add(running, name, call);
      if (running.handlers.size === 0) throw new ScriptError('it has no handlers');
    });
    this.#running.push(running);
  }

  #add(running: Running, name: string, call: unknown): void {
    if (typeof call !== 'function') throw new ScriptError(`${name} is no function`);
    if (name !== 'begin' && name !== 'end' && call.constructor.name === 'AsyncFunction') {
      throw new ScriptError(`${name} is async, and only begin and end can be: events do not wait`);
    }
    running.handlers.set(name, call);
    if (special.includes(name)) return;
    running.events.push(eventNames(name, call));
  }

  #addTimer(running: Running, period: string, call: (tick: Tick) => void): void {
    const { clock, file } = this.#trace;
    const length = parseLength(period);
    if (length === undefined || length < 1) {
      throw new ScriptError(`every('${period}'): expected a period with its unit: 100us, 1.5s`);
    }
    if (clock.unit !== 'ns') {
      const why = clock.unit === 'none' ? 'have no time stamps' : 'count cycles of unknown length';
      throw new ScriptError(`there is no every('${period}'): the events of ${file} ${why}`);
    }
    this.#timers.push({
      running,
      name: `every('${period}')`,
      timer: new Timer(length, call, this.#trace, this.#host.stamp),
    });
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
    const handling = taken
      ? { args: argumentsOf(type, this.#cursor, extras(type, this.#cursor)) as AnyFields, bound }
      : null;
    while (this.#dispatch.length <= id) this.#dispatch.push(undefined);
    this.#dispatch[id] = handling;
    return handling;
  }

  #handlersOf(type: EventType): Bound[] {
    const found: Bound[] = [];
    for (const running of this.#running) {
      const before = found.length;
      for (const { name, takes, call } of running.events) {
        if (takes(type)) found.push({ running, name, call: call as Bound['call'] });
      }
      const catchall = running.handlers.get('catchall');
      if (found.length === before && catchall !== undefined) {
        found.push({ running, name: 'catchall', call: catchall as Bound['call'] });
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
    const { file, events } = running;
    const ofEvent = name === 'catchall' || events.some((event) => event.name === name);
    const where = ofEvent ? `${this.#cursor.event} at ${this.#cursor.stamp}` : name;
    return new ScriptError(`${placeOf(error) ?? file}: ${messageOf(error)} (in ${where})`);
  }
}

/** What the arguments of an event have besides its fields: an exit's reason by name, whatever number the file has. */
function extras(type: EventType, cursor: Cursor): { name: string; get: () => unknown }[] {
  if (!isExit(type)) return [];
  const reasons = new Reasons();
  const decoder = reasonDecoder(type, reasons);
  return [{ name: 'reason', get: () => reasons.names[decoder.id(cursor.b, cursor.i)] }];
}

/** Events by a handler's name: with or without the system, a pattern or not. A guest's events are meant only where the name says so. */
function eventNames(name: string, call: Handler): EventNames {
  const patterns = new EventPatterns([name]);
  const ofGuest = name.startsWith('guest/');
  return {
    name,
    call,
    takes: (type) => type.name.startsWith('guest/') === ofGuest && patterns.takes(type),
    unused: () => patterns.unused().length > 0,
  };
}
