import type { Hex, RowOf } from '../spans/kind.ts';
import type { Kind } from '../spans/kinds.ts';
import type { Loss } from '../trace/loss.ts';
import type { Events } from './events.ts';
import type { KnownEvents } from './known-events.ts';
import type { AnyFields, Pair, PairOptions } from './pair-kind.ts';

export type { AnyFields, Hex };

/** The events that are typed: those of the user's own declarations, and those that virtap knows. */
type TypedEvents = Omit<KnownEvents, keyof Events> & Events;

/** `kvm_exit` of `kvm:kvm_exit`. A guest's events (`guest/kvm:kvm_exit`) are called by their full names only. */
type ShortName<Name> = Name extends `guest/${string}` ? never : Name extends `${string}:${infer Short}` ? Short : never;

/** What an event handler gets as its second parameter. One object serves all events: take out what is to stay. */
export interface Context {
  /** Time since the trace's first event, in ns; in the clock's ticks where these have no known length. */
  readonly time: number;
  /** The absolute time on the trace's clock, in ns, exactly. */
  readonly ns: bigint;
  /** The same as `virtap dump` prints it: seconds with nine decimals. */
  readonly stamp: string;
  /** The event's full name: `kvm:kvm_exit`. */
  readonly event: string;
  /** CPU that recorded the event, -1 where the trace does not say. */
  readonly cpu: number;
  /** Thread that caused it, -1 where the trace does not say (simpletrace). */
  readonly tid: number;
  /** Process of that thread, -1 where the trace does not say. */
  readonly pid: number;
  /** What the thread calls itself, '' where the trace does not say. Untrusted text; `print` makes it safe. */
  readonly comm: string;
  /** The vCPU that the thread runs, -1 where it runs none, or none is known. */
  readonly vcpu: number;
  /** The VM's process: that of a vCPU's thread, or of an event of QEMU; -1 otherwise. */
  readonly vm: number;
  /** The event's arguments as `virtap dump` prints them. */
  readonly text: string;
}

/** A length of time: `'1s'`, `'250us'`. */
export type Period = `${number}${'ns' | 'us' | 'µs' | 'ms' | 's' | 'm' | 'min' | 'h'}`;

/** The moment at which an `every` handler is called. */
export type Tick = Pick<Context, 'time' | 'ns' | 'stamp'>;

/** A handler of the events of one name. */
export type EventHandler<Fields> = (args: Fields, context: Context) => void;

/** The arguments of the typed events, by both their names. */
type FieldsByName = { [Name in keyof TypedEvents as Name | ShortName<Name>]: TypedEvents[Name] };

type FieldsOf<Name extends string> = Name extends keyof FieldsByName ? FieldsByName[Name] : AnyFields;

type EventHandlers = { [Name in keyof FieldsByName]?: EventHandler<FieldsByName[Name]> };

/** A handler of spans, called for the event that ends each. */
export type SpanHandler<T> = (span: T, context: Context) => void;

/** Handlers of spans, by the names of their kinds: `exit`, `request`, `lockWait`, … */
type SpanHandlers = { [K in Kind as K['name']]?: SpanHandler<RowOf<K['columns']>> };

/** What an analyzer does, by name. */
export type Handlers = EventHandlers &
  SpanHandlers & {
    /** Before the first event. May be async. */
    begin?: () => void | Promise<void>;
    /** After the last event, also where reading ended early. May be async. */
    end?: () => void | Promise<void>;
    /** Every event that has no handler of its own in this script. */
    catchall?: EventHandler<AnyFields>;
    /** A stretch in which the recorder lost events. Times count from the trace's first event. */
    lost?: (loss: Loss) => void;
  } & {
    /** Events of any name, typed or not: `'kvm:kvm_exit'`, `'virtio_blk_*'`. */
    // biome-ignore lint/suspicious/noExplicitAny: also the handlers of typed events match these names
    [pattern: `${string}:${string}` | `${string}*${string}` | `${string}?${string}`]: (args: any, context: any) => void;
  };

/** What a script can do besides handling events. */
export type Tools = {
  /**
   * Prints values with blanks between them, as a line. Aggregates print as tables, histograms and heat maps. Text is made safe for terminals:
   * control characters other than line ends and tabs are escaped.
   */
  print: (...values: unknown[]) => void;
  /** The command line's arguments behind `--`. */
  args: readonly string[];
  /** Ends the reading after this event; `end` is called all the same. */
  stop: () => void;
  /** Calls a handler regularly in the trace's time: at the multiples of the period from its first event on. For `analyzer`'s setup only. */
  every: (period: Period, handler: (tick: Tick) => void) => void;
  /** Calls a handler for each two events that belong together, as `virtap pairs` finds them. For `analyzer`'s setup only. */
  pair: <From extends string, To extends string>(
    options: PairOptions<From, To>,
    handler: SpanHandler<Pair<FieldsOf<From>, FieldsOf<To>>>,
  ) => void;
};

const brand = Symbol.for('virtap.analyzer');

/** A script's default export. */
export type Analyzer = { readonly [brand]: (tools: Tools) => Handlers };

/** Makes an analyzer. `setup` is called once, before anything is read, and gives the handlers. */
export function analyzer(setup: (tools: Tools) => Handlers): Analyzer {
  return { [brand]: setup };
}

/** The setup function of a script's default export; undefined where that is none of `analyzer`. */
export function setupOf(exported: unknown): ((tools: Tools) => unknown) | undefined {
  return (exported as { [brand]?: (tools: Tools) => unknown } | null | undefined)?.[brand];
}
