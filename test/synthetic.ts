import { EventBatch } from '../src/trace/batch.ts';
import type { Clock } from '../src/trace/clock.ts';
import type { EventType, FieldReader, Layout } from '../src/trace/event-type.ts';
import type { Loss } from '../src/trace/loss.ts';
import { ThreadTable, type Trace, TypeTable } from '../src/trace/trace.ts';

/** One event of a hand-made trace. Field values: numbers and bigints are integers, strings are text. */
export type SyntheticEvent = {
  name: string;
  time: number;
  cpu?: number;
  tid?: number;
  pid?: number;
  fields?: Record<string, number | bigint | string>;
  /** A hole right before this event. */
  loss?: Loss;
};

/** A Trace of hand-made events, for tests of spans and views. Events are taken in the order given. */
export function synthetic(
  events: SyntheticEvent[],
  options: {
    clock?: Clock;
    batchSize?: number;
    origin?: bigint;
    threads?: [tid: number, comm: string, pid: number][];
  } = {},
): Trace {
  const types = new TypeTable();
  const byName = new Map<string, EventType>();
  const threads = new ThreadTable();
  for (const [tid, comm, pid] of options.threads ?? []) threads.name(tid, comm, pid);
  const typeOf = (event: SyntheticEvent): EventType => {
    let type = byName.get(event.name);
    if (type === undefined) {
      type = types.add(event.name, new SyntheticLayout(events, Object.keys(event.fields ?? {})));
      byName.set(event.name, type);
    }
    return type;
  };
  let last = Number.NEGATIVE_INFINITY;
  return {
    file: 'synthetic',
    format: 'synthetic',
    version: '',
    clock: options.clock ?? { name: 'mono', unit: 'ns', resolution: 1 },
    origin: options.origin ?? 0n,
    get last() {
      return last;
    },
    types: types.all,
    threads,
    cpus: undefined,
    notes: [],
    damage: undefined,
    progress: () => ({ read: 0, size: undefined }),
    close: async () => {},
    async *batches(wants) {
      // An event's payload is its index, so that it can be copied like any other payload.
      const payloads = new DataView(new ArrayBuffer(events.length * 4));
      for (let i = 0; i < events.length; i++) payloads.setUint32(i * 4, i);
      const newBatch = () => {
        const batch = new EventBatch(options.batchSize ?? 7);
        batch.bytes = new Uint8Array(payloads.buffer);
        batch.view = payloads;
        return batch;
      };
      let batch = newBatch();
      let losses: Loss[] = [];
      for (const [index, event] of events.entries()) {
        const type = typeOf(event);
        last = Math.max(last, event.time);
        if (batch.count === batch.capacity || (event.loss !== undefined && batch.count > 0)) {
          batch.losses = losses;
          yield batch;
          batch = newBatch();
          losses = [];
        }
        if (event.loss !== undefined) losses.push(event.loss);
        if (wants !== undefined && !wants(type)) continue;
        const i = batch.count++;
        batch.time[i] = event.time;
        batch.type[i] = type.id;
        batch.cpu[i] = event.cpu ?? -1;
        batch.tid[i] = event.tid ?? -1;
        batch.pid[i] = event.pid ?? -1;
        batch.at[i] = index * 4;
        batch.size[i] = 4;
      }
      batch.losses = losses;
      if (batch.count > 0 || losses.length > 0) yield batch;
    },
  };
}

class SyntheticLayout implements Layout {
  readonly fields;
  readonly #events: SyntheticEvent[];

  constructor(events: SyntheticEvent[], names: string[]) {
    this.#events = events;
    this.fields = names.map((name) => ({ name, declared: '' }));
  }

  reader(name: string): FieldReader | undefined {
    if (!this.fields.some((field) => field.name === name)) return undefined;
    const value = (b: EventBatch, i: number) => this.#event(b, i)?.fields?.[name];
    const integer = (b: EventBatch, i: number): bigint | undefined => {
      const v = value(b, i);
      return typeof v === 'string' || v === undefined ? undefined : BigInt(v);
    };
    const sample = this.#events.find((event) => event.fields?.[name] !== undefined)?.fields?.[name];
    return {
      kind: typeof sample === 'string' ? 'text' : 'int',
      number: (b, i) => Number(integer(b, i) ?? Number.NaN),
      low: (b, i) => Number((integer(b, i) ?? 0n) & 0xffffffffn),
      high: (b, i) => Number(((integer(b, i) ?? 0n) >> 32n) & 0xffffffffn),
      text: (b, i) => String(value(b, i) ?? ''),
    };
  }

  print(b: EventBatch, i: number): string {
    return Object.entries(this.#event(b, i)?.fields ?? {})
      .map(([name, value]) => `${name}=${value}`)
      .join(' ');
  }
  #event(b: EventBatch, i: number): SyntheticEvent | undefined {
    return this.#events[b.view.getUint32(b.at[i] as number)];
  }
}

/** A thread gets a CPU, from an idle one. */
export function into(time: number, tid: number): SyntheticEvent {
  return { name: 'sched:sched_switch', time, tid: 0, fields: { prev_pid: 0, prev_state: 0, next_pid: tid } };
}

/** A thread loses its CPU, which goes idle: with state 0 it could run on. */
export function out(time: number, tid: number, state: number): SyntheticEvent {
  return { name: 'sched:sched_switch', time, tid, fields: { prev_pid: tid, prev_state: state, next_pid: 0 } };
}

/** A thread is woken, by another. */
export function waking(time: number, tid: number): SyntheticEvent {
  return { name: 'sched:sched_waking', time, tid: 99, fields: { pid: tid } };
}
