import type { Clock } from '../trace/clock.ts';
import type { EventType, Layout } from '../trace/event-type.ts';
import { IdTable } from '../trace/id-table.ts';
import type { TypeTable } from '../trace/trace.ts';
import { ChainedLayout } from './call-chain.ts';
import { KernelLayout } from './kernel-layout.ts';
import type { PerfChains } from './perf-chains.ts';
import type { PerfAttr, PerfHeader } from './perf-header.ts';
import { type SampleShape, unresolved, unwanted } from './perf-scan.ts';
import { QemuProbeLayout, qemuProbe } from './qemu-names.ts';
import type { Signatures } from './trace-events.ts';
import type { TracingData } from './tracing-data.ts';

/** What perf.data's attributes say: which samples are events of which type, where a sample's parts lie, and the clock. */
export class PerfTypes {
  // Attributes by index, for the hot loop.
  readonly #ids = new IdTable();
  readonly #attrOfId: number[] = [];
  /** How many attributes were looked at: more come as records of a pipe. */
  #attrsSeen = 0;
  /** Whether all of these have the layout of the first. */
  #alike = true;
  /** The type of each attribute's events. */
  typeOf = new Int32Array(0);
  /** Types of samples that were taken in guest mode. */
  readonly #guestTypeOf = new Map<number, number>();
  /** What the scan of samples goes by; it is shared with the second thread. */
  readonly shape: SampleShape = {
    kindOfId: new Int32Array(0),
    restOfId: new Int32Array(0),
    common: undefined,
    trailerCpu: 0,
    originHigh: 0,
    originLow: 0,
  };
  /** The event formats, which come after the attributes in a pipe. */
  formats: TracingData | undefined;
  /** What is known of call chains. */
  chains: PerfChains | undefined;
  /** Attributes whose events were seen, in that order, and those of guests' events. */
  readonly seen: { index: number; guest: boolean }[] = [];
  /** Which types the reader of the trace asks for. */
  wants: ((type: EventType) => boolean) | undefined;
  readonly #header: PerfHeader;
  readonly #little: boolean;
  readonly #table: TypeTable;
  readonly #signatures: Signatures;
  readonly #clock: Clock;
  readonly #note: (note: string) => void;

  /** Types are added to `table` when their first sample comes; what the attributes say of the clock goes into `clock`. */
  constructor(
    header: PerfHeader,
    table: TypeTable,
    signatures: Signatures,
    clock: Clock,
    note: (note: string) => void,
  ) {
    this.#header = header;
    this.#little = header.little;
    this.#table = table;
    this.#signatures = signatures;
    this.#clock = clock;
    this.#note = note;
  }

  /** Index of the attribute that the id at this position belongs to, -1 where none does. */
  attrOf(view: DataView, position: number): number {
    const low = view.getUint32(position + (this.#little ? 0 : 4), this.#little);
    const high = view.getUint32(position + (this.#little ? 4 : 0), this.#little);
    const id = this.#ids.find(high, low);
    return id < 0 ? -1 : (this.#attrOfId[id] as number);
  }

  /** The type of an attribute's events, or `unwanted`. Made at the first sample: in a pipe, formats come after attributes. */
  resolve(index: number): number {
    const attr = this.#header.attrs[index] as PerfAttr;
    this.seen.push({ index, guest: false });
    const type = this.#makeType(attr);
    const id = this.wants === undefined || this.wants(type) ? type.id : unwanted;
    this.typeOf[index] = id;
    // Samples of fixed layout, and those that nobody wants, take the hot path from now on.
    const fixed = attr.hasRaw && !attr.hasRead && !attr.hasCallchain;
    if (fixed || id === unwanted) this.#setKind(attr, id);
    return id;
  }

  /**
   * The host's events that interrupted a guest: perf marks the sample as the guest's, and perf script leaves it out
   * where it knows nothing of that guest. They have happened all the same: the same event, recorded as `…:G`, perf's modifier.
   */
  guestType(index: number, attr: PerfAttr): number {
    let id = this.#guestTypeOf.get(index);
    if (id === undefined) {
      this.seen.push({ index, guest: true });
      const type = this.#makeType(attr, ':G');
      id = this.wants === undefined || this.wants(type) ? type.id : unwanted;
      this.#guestTypeOf.set(index, id);
    }
    return id;
  }

  /** Makes the types of events that were seen elsewhere. */
  see(seen: readonly { index: number; guest: boolean }[]): void {
    for (const { index, guest } of seen) {
      const attr = this.#header.attrs[index];
      if (attr === undefined) continue;
      if (guest) this.guestType(index, attr);
      else if (this.typeOf[index] === unresolved) this.resolve(index);
    }
  }

  #makeType(attr: PerfAttr, mode = ''): EventType {
    const known = attr.type === 2 ? this.formats?.formats.get(attr.config) : undefined;
    if (known === undefined) {
      const name =
        attr.name !== ''
          ? attr.name
          : attr.type === 2
            ? `tracepoint:${attr.config}`
            : `perf:type${attr.type}_${attr.config}`;
      if (attr.type === 2 && this.formats !== undefined) {
        this.#note(`The file holds no format of ${name}: its fields are not known.`);
      }
      return this.#table.add(name, this.#chained(attr, noFields), name + mode);
    }
    const { system, format } = known;
    const layout = new KernelLayout(format, this.#little);
    const isProbe = format.fields.some((field) => field.name === '__probe_ip');
    const qemu = qemuProbe(system, format.name, isProbe, this.#signatures);
    if (qemu !== undefined) {
      const names = new QemuProbeLayout(layout, qemu, this.#signatures);
      return this.#table.add(qemu, this.#chained(attr, names), `${system}:${format.name}${mode}`);
    }
    return this.#table.add(`${system}:${format.name}`, this.#chained(attr, layout), `${system}:${format.name}${mode}`);
  }

  #chained(attr: PerfAttr, layout: Layout): Layout {
    const { chains } = this;
    return attr.hasCallchain && chains !== undefined ? new ChainedLayout(layout, (b, i) => chains.text(b, i)) : layout;
  }

  /** Looks at the attributes that came since it last did, so that any number of them may come between samples. */
  learn(): void {
    const { attrs } = this.#header;
    const seen = this.#attrsSeen;
    if (attrs.length === seen) return;
    this.#attrsSeen = attrs.length;
    const [first] = attrs as [PerfAttr];
    if (attrs.length > this.typeOf.length) {
      const old = this.typeOf;
      this.typeOf = new Int32Array(Math.max(attrs.length, 2 * old.length)).fill(unresolved);
      this.typeOf.set(old);
    }
    this.shape.trailerCpu = first.sampleIdAll ? first.trailerCpu : 0;
    let least = this.shape.common?.least ?? 0;
    for (let index = seen; index < attrs.length; index++) {
      const attr = attrs[index] as PerfAttr;
      const { ids } = attr;
      for (let k = 0; k < ids.length; k += 2) {
        const [low, high] = [ids[k] as number, ids[k + 1] as number];
        this.#attrOfId[this.#ids.id(high, low)] = index;
        if (high !== 0 || low >= 1 << 20) continue;
        this.#roomForId(low);
        this.shape.kindOfId[low] = unresolved;
        this.shape.restOfId[low] = attr.restAt + 4;
      }
      // The clocks of all events of one recording agree.
      if (attr.clockId !== undefined) this.#clock.name = clockNames[attr.clockId] ?? `clock ${attr.clockId}`;
      this.#alike &&=
        attr.identifierAt === 8 &&
        attr.tidAt > 0 &&
        attr.timeAt > 0 &&
        attr.cpuAt > 0 &&
        attr.tidAt === first.tidAt &&
        attr.timeAt === first.timeAt &&
        attr.cpuAt === first.cpuAt;
      least = Math.max(least, attr.restAt + 4);
    }
    this.tieClock();
    const usual = this.#little && this.#alike;
    this.shape.common = usual
      ? { tid: first.tidAt / 4, time: first.timeAt / 4, cpu: first.cpuAt / 4, least }
      : undefined;
  }

  /** Makes the tables by id as long as this one needs. They are shared with the second thread, which learns of kinds as they become known. */
  #roomForId(id: number): void {
    const hot = this.shape;
    const { kindOfId, restOfId } = hot;
    if (id < kindOfId.length) return;
    const length = Math.max(id + 1, 2 * kindOfId.length);
    hot.kindOfId = new Int32Array(new SharedArrayBuffer(4 * length)).fill(unresolved);
    hot.kindOfId.set(kindOfId);
    hot.restOfId = new Int32Array(new SharedArrayBuffer(4 * length));
    hot.restOfId.set(restOfId);
  }

  /** perf record -k notes once what the wall clock shows. */
  tieClock(): void {
    const pair = this.#header.clockData;
    if (pair === undefined || this.#clock.name === 'realtime') return;
    this.#clock.ties = [{ to: 'realtime', offset: pair.wall - pair.clock, source: "perf's clock data" }];
  }

  #setKind(attr: PerfAttr, kind: number): void {
    const { kindOfId } = this.shape;
    const { ids } = attr;
    for (let k = 0; k < ids.length; k += 2) {
      const low = ids[k] as number;
      if (ids[k + 1] === 0 && low < kindOfId.length) kindOfId[low] = kind;
    }
  }
}

/** include/uapi/linux/time.h, by the names that ftrace gives these clocks. */
const clockNames: Record<number, string> = { 0: 'realtime', 1: 'mono', 4: 'mono_raw', 7: 'boot', 11: 'tai' };

const noFields: Layout = { fields: [], reader: () => undefined, print: () => '' };
