import { EventCopies } from '../spans/event-copies.ts';
import { detail, length, number, type Readers, type SpanKind, type Spans, time } from '../spans/kind.ts';
import { type PairEnd, Pairs, sharedOf } from '../spans/pairs.ts';
import type { Window } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { NamedFields } from '../views/named-fields.ts';
import { argumentsOf } from './arguments.ts';
import { type EventNames, eventNames } from './event-names.ts';
import { ScriptError } from './script-error.ts';

/** The arguments of an event that is not typed. */
// biome-ignore lint/suspicious/noExplicitAny: what the fields are is in the trace
export type AnyFields = { readonly [field: string]: any };

const columns = {
  begin: time('the first event'),
  duration: length('until the second'),
  tid: number('thread of the first'),
  cpu: number('CPU of the first'),
  from: detail<AnyFields>('the arguments of the first event, copied'),
  to: detail<AnyFields>('those of the second'),
};

/** Two events that belong together. */
export type Pair<From = AnyFields, To = AnyFields> = {
  /** When the first was, from the trace's first event, and how long it took until the second. */
  begin: number;
  duration: number;
  /** Thread and CPU of the first. */
  tid: number;
  cpu: number;
  /** The arguments of both, copied. */
  from: From;
  to: To;
};

/** What a pair begins and ends with, and the fields that both must have in common: as in `virtap pairs`. */
export type PairOptions<From extends string = string, To extends string = string> = {
  /** An event's name, with or without its system, or a pattern. */
  from: From;
  to: To;
  /** Names of fields, or tid, pid, cpu, comm, vcpu; `FROM=TO` where the two events name it differently: `'.pid=next_pid'`. */
  by: string | readonly string[];
};

/** Pairs that are open of which the first event is kept, and bytes of each. */
const maxCopies = 1 << 18;
const maxPayload = 256;

class PairedEvents implements Spans<typeof columns> {
  readonly read: Readers<typeof columns>;
  readonly #pairs: Pairs;
  readonly #from: EventNames;
  readonly #to: EventNames;
  readonly #names = new NamedFields();
  readonly #copies = new EventCopies(maxCopies, maxPayload);
  /** Arguments of copies and of events in the batch, by type id. */
  readonly #copied: (object | undefined)[] = [];
  readonly #current: (object | undefined)[] = [];
  readonly #copyCursor: { b: EventBatch; i: number };
  readonly #cursor: { b: EventBatch; i: number };
  /** First events of the pairs that ended with the batch. */
  #firsts: AnyFields[] = [];
  #trace: Trace | undefined;

  constructor({ from, to, by }: PairOptions) {
    this.#from = eventNames(from);
    this.#to = eventNames(to);
    this.#copyCursor = { b: this.#copies.batch, i: 0 };
    this.#cursor = { b: this.#copies.batch, i: 0 };
    const keys = (typeof by === 'string' ? by.split(',') : by).map((text) => {
      const [first = '', last = first] = text.trim().split('=');
      if (first === '' || last === '') throw new ScriptError(`by: '${text}' names no field`);
      return [first, last] as const;
    });
    const end = (names: EventNames, n: 0 | 1): PairEnd => ({
      takes: (type) => names.takes(type),
      keys: (type) => keys.map((key) => this.#key(key[n], key[n === 0 ? 1 : 0], type)),
    });
    this.#pairs = new Pairs(end(this.#from, 0), end(this.#to, 1), {
      keys: keys.length,
      of: sharedOf(keys),
      listener: {
        began: (entry, _, b, i) => this.#copies.keep(entry, b, i),
        ended: (entry, span) => {
          this.#firsts[span] = this.#first(entry);
        },
      },
    });
    const { spans } = this.#pairs;
    this.read = {
      begin: (k) => spans.begin[k] as number,
      duration: (k) => spans.duration[k] as number,
      tid: (k) => spans.tid[k] as number,
      cpu: (k) => spans.cpu[k] as number,
      from: (k) => this.#firsts[k] as AnyFields,
      to: (k) => {
        this.#cursor.i = this.endsAt(k);
        return this.#fields(this.#current, this.#cursor);
      },
    };
  }

  get seen(): boolean {
    const { begins, ends } = this.#pairs.result();
    return begins > 0 && ends > 0;
  }

  get count(): number {
    return this.#pairs.spans.count;
  }

  wants(type: EventType): boolean {
    return this.#pairs.wants(type);
  }

  endsAt(k: number): number {
    return this.#pairs.spans.endsAt[k] as number;
  }

  within(window: Window): void {
    this.#pairs.within(window);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    this.#names.trace = trace;
    this.#cursor.b = b;
    this.#firsts = [];
    this.#pairs.batch(trace, b);
  }

  *open(): Iterable<{ begin: number; tid: number; cpu: number; from: AnyFields }> {
    for (const { begin, tid, cpu, entry } of this.#pairs.unfinished()) {
      yield { begin, tid, cpu, from: this.#first(entry) };
    }
  }

  #first(entry: number): AnyFields {
    // What had no room is without arguments.
    if (!this.#copies.whole(entry)) return {};
    this.#copyCursor.i = entry;
    return this.#fields(this.#copied, this.#copyCursor);
  }

  #fields(made: (object | undefined)[], cursor: { b: EventBatch; i: number }): AnyFields {
    const id = cursor.b.type[cursor.i] as number;
    while (made.length <= id) made.push(undefined);
    made[id] ??= argumentsOf(this.#trace?.types[id] as EventType, cursor);
    return { ...made[id] };
  }

  #key(name: string, other: string, type: EventType): FieldReader {
    const reader = this.#names.key(name, other, type);
    if (reader !== undefined) return reader;
    const fields = type.fields.map((field) => field.name);
    throw new ScriptError(
      `${type.name} has no field ${name} to pair by; it has ${fields.join(', ')}, and tid, pid, cpu, comm, vcpu`,
    );
  }
}

/** The kind of span that begins and ends with the events that a script names. Throws a ScriptError where `by` names no field. */
export function pairKind(options: PairOptions) {
  const { from, to } = options;
  // What is wrong with the options is said at once.
  const first = new PairedEvents(options);
  let used = false;
  return {
    name: 'pair',
    word: 'pair',
    plural: 'pairs',
    meaning: `${from} → ${to}`,
    needs: `${from} and ${to}`,
    wanted: { patterns: [from, to] },
    columns,
    by: [],
    start: (): Spans<typeof columns> => {
      if (used) return new PairedEvents(options);
      used = true;
      return first;
    },
  } satisfies SpanKind<typeof columns>;
}
