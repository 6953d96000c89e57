import type { Meter } from '../trace/budget.ts';
import { TraceError } from '../trace/error.ts';
import type { EventType, Layout } from '../trace/event-type.ts';
import type { TypeTable } from '../trace/trace.ts';
import { RecordLayout, SimpletraceLayout } from './simpletrace-layout.ts';
import { namelessNote, type Signature, type Signatures } from './trace-events.ts';

/** Bytes of the file's header, and of a record without arguments. */
export const headerSize = 24;
export const recordSize = 24;
/** QEMU numbers its events from 0: there are a few thousand. */
export const maxEvents = 1 << 20;
/** What an event's name takes in memory, and what is made of it when its first event comes (and said, where it does not fit); measured. */
const nameBytes = 120;
const kindBytes = 1200;

/** Marks an event number that the hot loop has to ask about, and one whose events nobody wants. */
export const unresolved = -2;
export const unwanted = -1;
/** Marks arguments whose length varies. */
const varies = -1;

const rightSignatures = 'the trace-events-all of the QEMU that wrote the trace';

/** What the event numbers of a simpletrace file stand for. */
export class SimpletraceKinds {
  /** By event number, for the hot loop: the type, `unwanted` or `unresolved`; and how long its arguments are. */
  codes = new Int32Array(0);
  sizes = new Int32Array(0);
  wants: ((type: EventType) => boolean) | undefined;
  readonly #kinds: (Kind | undefined)[] = [];
  readonly #names = new Map<number, string>();
  readonly #nameless: string[] = [];
  /** Whether event numbers are places in trace-events-all. */
  #namedByNumber = false;
  readonly #trace: { readonly file: string; readonly notes: string[] };
  readonly #signatures: Signatures;
  readonly #version: number;
  readonly #little: boolean;
  readonly #table: TypeTable;
  readonly #meter: Meter;
  readonly #offsetOf: (position: number) => number;

  /** What is to be said goes into the trace's notes. `offsetOf` tells where in the file a position of the arena is. */
  constructor(
    trace: { readonly file: string; readonly notes: string[] },
    signatures: Signatures,
    version: number,
    little: boolean,
    table: TypeTable,
    meter: Meter,
    offsetOf: (position: number) => number,
  ) {
    this.#trace = trace;
    this.#signatures = signatures;
    this.#version = version;
    this.#little = little;
    this.#table = table;
    this.#meter = meter;
    this.#offsetOf = offsetOf;
  }

  isNamed(number: number): boolean {
    return this.#names.has(number);
  }

  /** A name that the file gives a number. QEMU names all events again whenever it starts a file: only a changed name is news. */
  name(number: number, name: string, position: number): void {
    if (this.#names.get(number) === name) return;
    this.#meter.need(nameBytes + name.length, 'names of events', this.#offsetOf(position));
    this.#names.set(number, name);
    this.#kinds[number] = undefined;
    this.#makeRoom(number);
    this.codes[number] = unresolved;
  }

  /** The type of an event with arguments at `at`, or `unwanted`. Called for each event whose arguments vary in length. */
  codeOf(number: number, view: DataView, at: number, size: number): number {
    let kind = this.#kinds[number];
    if (kind === undefined) {
      this.#makeRoom(number);
      this.#meter.need(kindBytes, 'kinds of events', this.#offsetOf(at));
      kind = this.#kindOf(number);
      this.#kinds[number] = kind;
    }
    for (const way of kind.ways) {
      if (!way.layout.fits(view, at, size)) continue;
      return this.#resolve(kind, way, number, way.layout.fixedSize);
    }
    if (kind.ways.length > 0 && !kind.told) {
      kind.told = true;
      this.#tellMisfit(kind, at, size);
    }
    kind.raw ??= { layout: new RecordLayout(Math.floor(size / 8), this.#little), code: unresolved, builtIn: false };
    return this.#resolve(kind, kind.raw, number, varies);
  }

  #makeRoom(number: number): void {
    if (number < this.codes.length) return;
    const room = Math.max(1024, 2 ** Math.ceil(Math.log2(number + 1)));
    const codes = new Int32Array(room).fill(unresolved);
    const sizes = new Int32Array(room).fill(varies);
    codes.set(this.codes);
    sizes.set(this.sizes);
    this.codes = codes;
    this.sizes = sizes;
  }

  #resolve(kind: Kind, way: Way, number: number, fixedSize: number): number {
    if (way.code !== unresolved) return way.code;
    if (way.builtIn && this.#signatures.file !== undefined && !kind.told) {
      kind.told = true;
      this.#trace.notes.push(
        `${this.#signatures.file} does not fit event ${kind.name}, whose arguments are as in another version of QEMU; ` +
          `expected ${rightSignatures}`,
      );
    }
    const name = this.#version < 4 && way === kind.raw ? `event_${number}` : kind.name;
    const type = this.#table.add(`qemu:${name}`, way.layout);
    way.code = this.wants === undefined || this.wants(type) ? type.id : unwanted;
    if ((this.codes[number] as number) === unresolved) {
      this.codes[number] = way.code;
      this.sizes[number] = fixedSize;
    }
    return way.code;
  }

  #tellMisfit(kind: Kind, at: number, size: number): void {
    const source = this.#signatures.file ?? 'the signature built into virtap';
    this.#trace.notes.push(
      `${this.#trace.file}: byte ${this.#offsetOf(at)}: ${size} bytes of arguments of event ${kind.name} do not fit ${source}: ` +
        `they are shown as plain numbers; expected ${rightSignatures}`,
    );
  }

  #kindOf(number: number): Kind {
    const byNumber = this.#namedByNumber ? this.#signatures.inFile[number] : undefined;
    const name = this.#names.get(number) ?? byNumber?.name ?? `event_${number}`;
    const candidates: Signature[] = byNumber === undefined ? this.#signatures.candidates(name) : [byNumber];
    // Where the file describes it, what is built in is second choice.
    const own = this.#signatures.of(name);
    const ways = candidates.map(
      (signature): Way => ({
        layout: new SimpletraceLayout(signature, this.#little),
        code: unresolved,
        builtIn: signature !== own,
      }),
    );
    if (ways.length === 0 && this.#version === 4) this.#nameless.push(name);
    return { name, ways, raw: undefined, told: false };
  }

  /** Versions 2 and 3 number events by their place in trace-events-all: the wrong one gives wrong names to all. `head` is the file's beginning. */
  nameByNumber(head: DataView): void {
    const { notes } = this.#trace;
    // Which file it is, is known once it was looked for.
    const events = this.#signatures.inFile;
    const { file } = this.#signatures;
    if (file === undefined) {
      notes.push(
        `simpletrace version ${this.#version} does not name its events: give the trace-events-all of the QEMU that wrote it with --trace-events`,
      );
      return;
    }
    let records = 0;
    let misfits = 0;
    let first: { pos: number; problem: string } | undefined;
    for (let pos = headerSize; pos + recordSize <= head.byteLength; ) {
      const id = head.getBigUint64(pos, this.#little);
      const length = head.getUint32(pos + 16, this.#little);
      if (length < recordSize || pos + length > head.byteLength) break;
      if (id < BigInt(maxEvents)) {
        records++;
        const signature = events[Number(id)];
        const size = length - recordSize;
        const layout = signature === undefined ? undefined : new SimpletraceLayout(signature, this.#little);
        if (layout?.fits(head, pos + recordSize, size) !== true) {
          misfits++;
          const name = signature === undefined ? '' : ` (${signature.name})`;
          first ??= { pos, problem: `${size} bytes of arguments of event number ${id}${name} do not fit ${file}` };
        }
      }
      pos += length;
    }
    // A few misfits are damage: with the wrong file there are many.
    if (first !== undefined && misfits * 10 > records) {
      if (this.#signatures.named) throw new TraceError(this.#trace.file, first.problem, first.pos, rightSignatures);
      notes.push(
        `${this.#trace.file}: byte ${first.pos}: ${first.problem}; expected ${rightSignatures}: give it with --trace-events`,
      );
      return;
    }
    notes.push(
      `simpletrace version ${this.#version} does not name its events: names are those of ${file}, which must be of the QEMU that wrote the trace`,
    );
    this.#namedByNumber = true;
  }

  /** What is known at the end. */
  tell(): void {
    this.#trace.notes.push(...this.#signatures.notes);
    if (this.#nameless.length > 0) this.#trace.notes.push(namelessNote(this.#nameless, 'trace'));
  }
}

/** What an event number stands for. */
type Kind = {
  name: string;
  /** What its arguments may be, the likeliest first. */
  ways: Way[];
  /** For arguments that fit none. */
  raw: Way | undefined;
  /** Whether a note says already that they do not fit. */
  told: boolean;
};

type Way = {
  layout: Layout & { fits(view: DataView, at: number, size: number): boolean; fixedSize: number };
  code: number;
  builtIn: boolean;
};
