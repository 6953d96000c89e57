import type { Held } from '../spans/held.ts';
import type { SpanKind, Wanted } from '../spans/kind.ts';
import { parseLength } from '../trace/time-units.ts';
import type { Tick, Tools } from './analyzer.ts';
import { type EventNames, eventNames } from './event-names.ts';
import { messageOf, placeOf, type Script } from './load.ts';
import { type PairOptions, pairKind } from './pair-kind.ts';
import { ScriptError } from './script-error.ts';
import { kindOfHandler, SpanDispatch } from './span-dispatch.ts';

/** What scripts need from who runs them. */
export type Host = Pick<Tools, 'args'> & {
  /** Prints values; rates are per second of `seconds`. */
  print(values: readonly unknown[], seconds: number): void;
};

// biome-ignore lint/complexity/noBannedTypes: what a script's handlers take is known when they are called
export type Handler = Function;

/** A script that was set up: its handlers by name. */
export type Running = {
  file: string;
  self: object;
  handlers: Map<string, Handler>;
  events: (EventNames & { name: string; call: Handler })[];
  spans: { name: string; kind: SpanKind; held: Held }[];
};

/** A handler to be called for events or spans, and whose it is. */
export type Bound = { running: Running; name: string; call: Handler };

/** A handler to be called regularly, each `period` ns. */
export type Regular = { running: Running; name: string; period: number; call: (tick: Tick) => void };

/** Handlers that are called neither for events nor for spans. */
const special = ['begin', 'end', 'catchall', 'lost'];

/** Scripts whose setup functions were called, before there is a trace. */
export class Setup {
  readonly running: Running[] = [];
  readonly spans = new SpanDispatch<Bound>();
  readonly timers: Regular[] = [];
  /** True once a script wants no more events. */
  enough = false;
  /** How much of the trace has gone by; the run's to set. */
  seconds: () => number = () => Number.NaN;
  readonly #host: Host;
  #done = false;

  /** Throws a ScriptError where a script throws, or its handlers are not what they should be. */
  constructor(scripts: readonly Script[], host: Host) {
    this.#host = host;
    for (const script of scripts) {
      try {
        this.#setUp(script);
      } catch (error) {
        throw new ScriptError(`${placeOf(error) ?? script.file}: ${messageOf(error)} (in setup)`);
      }
    }
    this.#done = true;
  }

  /** What a running machine is to be asked for. */
  wanted(): Wanted & { optional?: true } {
    const sources = this.running.flatMap(({ spans }) => spans.map(({ kind }) => kind.wanted));
    const patterns = this.running.flatMap(({ events }) => events.map(({ name }) => name));
    // What is recorded where nobody says what for.
    const usual = this.running.some(({ handlers }) => handlers.has('catchall'));
    return {
      patterns: [...new Set([...patterns, ...sources.flatMap((wanted) => wanted.patterns ?? [])])],
      purposes: [
        ...sources.flatMap((wanted) => wanted.purposes ?? []),
        ...(usual ? (['exits', 'leaks', 'requests'] as const) : []),
      ],
      // A script may be for machines of several kinds; but spans that nothing can be made of are refused.
      ...(sources.length === 0 ? { optional: true } : {}),
    };
  }

  #setUp(script: Script): void {
    const running: Running = { file: script.file, self: {}, handlers: new Map(), events: [], spans: [] };
    const { args } = this.#host;
    const print = (...values: unknown[]) => this.#host.print(values, this.seconds());
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
    this.running.push(running);
  }

  #add(running: Running, name: string, call: unknown): void {
    const handler = checked(name, call);
    running.handlers.set(name, handler);
    if (special.includes(name)) return;
    const bound = { running, name, call: handler };
    const kind = kindOfHandler(name);
    if (kind !== undefined) running.spans.push({ name, kind, held: this.spans.add(kind, bound) });
    else running.events.push({ ...eventNames(name), name, call: handler });
  }

  #addPair(running: Running, options: PairOptions, call: unknown): void {
    if (this.#done) throw new ScriptError('pair is for the setup function of analyzer');
    const name = `pair from ${options.from} to ${options.to}`;
    const kind: SpanKind = pairKind(options);
    const held = this.spans.add(kind, { running, name, call: checked(name, call) });
    running.spans.push({ name, kind, held });
  }

  #addTimer(running: Running, period: string, call: unknown): void {
    if (this.#done) throw new ScriptError('every is for the setup function of analyzer');
    const length = parseLength(period);
    const name = `every('${period}')`;
    if (length === undefined || length < 1) {
      throw new ScriptError(`${name}: expected a period with its unit: 100us, 1.5s`);
    }
    this.timers.push({ running, name, period: Math.round(length), call: checked(name, call) as Regular['call'] });
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
