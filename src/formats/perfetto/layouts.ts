import type { EventBatch } from '../../trace/batch.ts';
import { type Field, type FieldReader, hex64, type Layout } from '../../trace/event-type.ts';
import type { ProtoField, ProtoKind } from './events.ts';
import { WireReader } from './wire.ts';

/** Finds a field's value in an event's message. */
type Find = (wire: WireReader) => boolean;

/** An event with a message of its own. */
export class ProtoLayout implements Layout {
  readonly fields: readonly Field[];
  readonly #all: readonly ProtoField[];

  constructor(fields: readonly ProtoField[]) {
    this.#all = fields;
    this.fields = fields.map(({ name }) => ({ name, declared: '' }));
  }

  reader(name: string): FieldReader | undefined {
    const field = this.#all.find((one) => one.name === name);
    return field === undefined ? undefined : new ProtoReader((wire) => findField(wire, field.field), field.kind);
  }

  print(b: EventBatch, i: number): string {
    return this.#all.map(({ name }) => `${name}=${this.reader(name)?.text(b, i)}`).join(' ');
  }
}

function findField(wire: WireReader, number: number): boolean {
  while (wire.next()) if (wire.field === number) return true;
  return false;
}

/** GenericFtraceEvent: fields by name. Which there are tells the first event of the name. */
export class GenericLayout implements Layout {
  readonly fields: readonly Field[];
  readonly #kinds: ReadonlyMap<string, ProtoKind>;

  constructor(bytes: Uint8Array, from: number, to: number) {
    const kinds = new Map<string, ProtoKind>();
    const wire = new WireReader(bytes).begin(from, to);
    const inner = new WireReader(bytes);
    while (wire.next()) {
      if (wire.field !== 2 || wire.wire !== 2) continue;
      let name = '';
      let kind: ProtoKind | undefined;
      inner.begin(wire.from, wire.to);
      while (inner.next()) {
        if (inner.field === 1 && inner.wire === 2) name = inner.text();
        else kind ??= genericKinds[inner.field];
      }
      if (kind !== undefined && !/^common_/.test(name)) kinds.set(name, kind);
    }
    this.#kinds = kinds;
    this.fields = [...kinds.keys()].map((name) => ({ name, declared: '' }));
  }

  reader(name: string): FieldReader | undefined {
    const kind = this.#kinds.get(name);
    if (kind === undefined) return undefined;
    const wanted = Buffer.from(name);
    return new ProtoReader((wire) => findNamed(wire, wanted), kind);
  }

  print(b: EventBatch, i: number): string {
    return this.fields.map(({ name }) => `${name}=${this.reader(name)?.text(b, i)}`).join(' ');
  }
}

/** GenericFtraceEvent.Field's values. */
const genericKinds: Record<number, ProtoKind> = { 3: 'text', 4: 'i64', 5: 'u64' };

function findNamed(wire: WireReader, name: Uint8Array): boolean {
  const { bytes } = wire;
  while (wire.next()) {
    if (!wire.holds(2)) continue;
    const { from, to, pos, end } = wire;
    let named = false;
    let value = -1;
    wire.begin(from, to);
    for (let at = from; wire.next(); at = wire.pos) {
      if (wire.holds(1))
        named = wire.to - wire.from === name.length && name.every((byte, k) => bytes[wire.from + k] === byte);
      else if (genericKinds[wire.field] !== undefined) value = at;
    }
    if (named && value >= 0) return wire.begin(value, to).next();
    wire.begin(pos, end);
  }
  return false;
}

class ProtoReader implements FieldReader {
  readonly kind: 'int' | 'text';
  readonly #kind: ProtoKind;
  readonly #find: Find;
  readonly #wire = new WireReader(new Uint8Array(0));

  constructor(find: Find, kind: ProtoKind) {
    this.#find = find;
    this.#kind = kind;
    this.kind = kind === 'text' ? 'text' : 'int';
  }

  number(b: EventBatch, i: number): number {
    if (!this.#locate(b, i, 0)) return Number.NaN;
    const { high, low } = this.#wire;
    return (this.#kind === 'i32' || this.#kind === 'i64' ? high | 0 : high) * 0x100000000 + low;
  }

  low(b: EventBatch, i: number): number {
    return this.#locate(b, i, 0) ? this.#wire.low : 0;
  }

  high(b: EventBatch, i: number): number {
    return this.#locate(b, i, 0) ? this.#wire.high : 0;
  }

  text(b: EventBatch, i: number): string {
    if (this.#kind === 'text') return this.#locate(b, i, 2) ? this.#wire.text().replace(/\n$/, '') : '';
    if (!this.#locate(b, i, 0)) return '';
    const { high, low } = this.#wire;
    if (this.#kind === 'hex') return hex64(high, low);
    const value = (BigInt(high) << 32n) | BigInt(low);
    return String(this.#kind === 'i32' || this.#kind === 'i64' ? BigInt.asIntN(64, value) : value);
  }

  #locate(b: EventBatch, i: number, wireType: number): boolean {
    const from = b.at[i] as number;
    const wire = this.#wire;
    wire.bytes = b.bytes;
    wire.begin(from, from + (b.size[i] as number));
    return this.#find(wire) && wire.wire === wireType;
  }
}
