import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { generalNames, NamedFields, tellsVcpu } from '../views/named-fields.ts';
import { csvRow } from './csv.ts';
import { escapeText } from './escape.ts';
import { type EventWriter, fieldValue } from './event-line.ts';

type Value = string | number | undefined;
type Reader = (b: EventBatch, i: number) => Value;

/**
 * Writes events as the values of some of their fields, in the order of the names: `time`, `text` (all fields, as the event prints), or
 * what filters call them. An event that lacks one has `-` in text, nothing in CSV, and null in JSON.
 */
export class ChosenFields {
  readonly writer: EventWriter;
  /** The first line of CSV. */
  readonly header: string;
  readonly #names: readonly string[];
  readonly #fields = new NamedFields();
  /** Readers by type id. */
  readonly #readers: Reader[][] = [];
  readonly #types = new Set<EventType>();
  readonly #seen = new Set(['time', 'text']);

  constructor(names: readonly string[], form: 'text' | 'csv' | 'json') {
    this.#names = names;
    this.header = csvRow(names);
    this.writer = (trace, b, i) => {
      const id = b.type[i] as number;
      const type = trace.types[id] as EventType;
      this.#fields.trace = trace;
      this.#readers[id] ??= this.#learn(trace, type);
      if (tellsVcpu(type)) this.#fields.note(trace, b, i);
      const values = this.#readers[id].map((read) => read(b, i));
      if (form === 'csv') return csvRow(values);
      if (form === 'text') return `${values.map((value) => escapeText(String(value ?? '-'))).join(' ')}\n`;
      return `${JSON.stringify(Object.fromEntries(names.map((name, n) => [name, values[n] ?? null])))}\n`;
    };
  }

  /** Of the names, those that no event has, and all that there are. */
  unknownNames(): { unknown: string[]; known: string[] } {
    const fields = [...this.#types].flatMap((type) => type.fields.map(({ name }) => name));
    return {
      unknown: this.#names.filter((name) => !this.#seen.has(name)),
      known: [...new Set(['time', 'text', ...generalNames, ...fields])],
    };
  }

  #learn(trace: Trace, type: EventType): Reader[] {
    this.#types.add(type);
    const stamp = timestamps(trace.origin, trace.clock.unit);
    return this.#names.map((name) => {
      if (name === 'time') return (b, i) => stamp(b.time[i] as number);
      if (name === 'text') return (b, i) => type.layout.print(b, i);
      const reader = this.#fields.reasonOrReader(name, type);
      if (reader === undefined) return () => undefined;
      this.#seen.add(name);
      return (b, i) => {
        const value = fieldValue(reader, b, i);
        return value === '' ? undefined : value;
      };
    });
  }
}
