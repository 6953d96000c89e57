import type { Arena } from '../trace/arena.ts';
import type { EventType, Layout } from '../trace/event-type.ts';
import type { TypeTable } from '../trace/trace.ts';
import { KernelLayout } from './kernel-layout.ts';
import { QemuMarkers, QemuProbeLayout, qemuProbe } from './qemu-names.ts';
import { type EventTypes, unwanted } from './ring-buffer.ts';
import type { Signatures } from './trace-events.ts';
import type { EventFormats } from './tracing-data.ts';

/** The event types of a ring buffer: the kernel's own, and QEMU's where the kernel carries them. */
export class KernelEventTypes implements EventTypes {
  readonly #formats: EventFormats;
  readonly #little: boolean;
  readonly #types: TypeTable;
  readonly #signatures: Signatures;
  readonly #wants: (type: EventType) => boolean;
  readonly #arena: Arena;
  readonly #known = new Map<number, number | 'by event'>();
  /** Whether there are events whose type is known one by one only. */
  get varied(): boolean {
    return this.#print !== undefined;
  }
  /** The numbers of the events that were seen, in that order. */
  get seen(): number[] {
    return [...this.#known.keys()];
  }
  /** Whether a type is wanted, by its id; undefined where nobody was asked yet. */
  readonly #wanted: boolean[] = [];
  /** What ftrace:print needs: where the text begins, QEMU's events among the texts, and the type of the other texts. */
  #print: { textAt: number; markers: QemuMarkers; layout: Layout; type: EventType | undefined } | undefined;

  /** Types are added to `types` when they are first seen; payloads lie in `arena`. */
  constructor(
    formats: EventFormats,
    little: boolean,
    types: TypeTable,
    signatures: Signatures,
    wants: (type: EventType) => boolean,
    arena: Arena,
  ) {
    this.#formats = formats;
    this.#little = little;
    this.#types = types;
    this.#signatures = signatures;
    this.#wants = wants;
    this.#arena = arena;
  }

  of(commonType: number): number | 'by event' {
    // Every buffer asks for itself.
    let type = this.#known.get(commonType);
    if (type === undefined) {
      type = this.#find(commonType);
      this.#known.set(commonType, type);
    }
    return type;
  }

  has(commonType: number): boolean {
    return this.#formats.has(commonType);
  }

  #find(commonType: number): number | 'by event' {
    const known = this.#formats.get(commonType);
    if (known === undefined) return this.#ifWanted(this.#types.add(`unknown:${commonType}`, unknownLayout));
    const { system, format } = known;
    const layout = new KernelLayout(format, this.#little);
    const name = `${system}:${format.name}`;
    const text = name === 'ftrace:print' ? format.fields.find((field) => field.name === 'buf') : undefined;
    if (text !== undefined) {
      const markers = new QemuMarkers(this.#signatures, this.#types, name, text.offset);
      this.#print = { textAt: text.offset, markers, layout, type: undefined };
      return 'by event';
    }
    const probe = format.fields.some((field) => field.name === '__probe_ip');
    const qemus = qemuProbe(system, format.name, probe, this.#signatures);
    if (qemus === undefined) return this.#ifWanted(this.#types.add(name, layout));
    return this.#ifWanted(this.#types.add(qemus, new QemuProbeLayout(layout, qemus, this.#signatures), name));
  }

  /** The type of a text in trace_marker: one of QEMU's events, or ftrace:print. */
  ofEvent(_commonType: number, at: number, size: number): number {
    const print = this.#print;
    if (print === undefined) return unwanted;
    const id = size > print.textAt ? print.markers.typeOf(this.#arena.bytes, at + print.textAt, at + size) : -1;
    if (id >= 0) return this.#ifWanted(this.#types.all[id] as EventType);
    print.type ??= this.#types.add('ftrace:print', print.layout);
    return this.#ifWanted(print.type);
  }

  #ifWanted(type: EventType): number {
    let wanted = this.#wanted[type.id];
    if (wanted === undefined) {
      wanted = this.#wants(type);
      this.#wanted[type.id] = wanted;
    }
    return wanted ? type.id : unwanted;
  }
}

/** Events whose format the file does not hold. */
const unknownLayout: Layout = { fields: [], reader: () => undefined, print: () => '' };
