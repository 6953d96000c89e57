import { inspect } from 'node:util';
import { isExit } from '../spans/exit-events.ts';
import { Reasons, reasonDecoder } from '../spans/exit-reasons.ts';
import type { EventBatch } from '../trace/batch.ts';
import { type EventType, type FieldReader, hex64, unsigned64 } from '../trace/event-type.ts';
import { type Kind, kindOf, knownEvents, narrow } from './field-kind.ts';
import { ScriptError } from './script-error.ts';

/** The event that is at hand. */
type Cursor = { b: EventBatch; i: number };

/**
 * The object that stands for the arguments of the cursor's event, if that is of this type. A field is decoded when it is read. One
 * object serves all events of the type: `{ ...args }` makes a copy that stays.
 *
 * A name that the event does not have is looked for in the prototype, which throws: reading what there is costs nothing more.
 */
export function argumentsOf(type: EventType, cursor: Cursor): object {
  const names = new Set<string>();
  const args = Object.create(strictPrototype(type, names)) as object;
  const add = (name: string, get: () => unknown) => {
    if (names.has(name)) return;
    names.add(name);
    Object.defineProperty(args, name, { enumerable: true, configurable: false, get });
  };
  for (const field of type.fields) {
    const reader = type.reader(field.name);
    if (reader !== undefined) add(field.name, getter(kindOf(type, field), narrow(field), reader, cursor));
  }
  // An exit's reason by name, whatever number the file has.
  if (isExit(type)) {
    const reasons = new Reasons();
    const decoder = reasonDecoder(type, reasons);
    add('reason', () => reasons.names[decoder.id(cursor.b, cursor.i)]);
  }
  return args;
}

/** What the event lacks is undefined; a text that it lacks is empty. */
function getter(kind: Kind, bits32: ReturnType<typeof narrow>, reader: FieldReader, cursor: Cursor): () => unknown {
  if (reader.kind === 'text') return () => reader.text(cursor.b, cursor.i);
  if (kind === 'hex') {
    const { place } = reader;
    if (place?.size === 8) {
      const { offset, little } = place;
      const [lowAt, highAt] = little ? [offset, offset + 4] : [offset + 4, offset];
      return () => {
        const { b, i } = cursor;
        if (offset + 8 > (b.size[i] as number)) return undefined;
        const at = b.at[i] as number;
        return hexText(b.view.getUint32(at + highAt, little), b.view.getUint32(at + lowAt, little));
      };
    }
    return () => {
      const { b, i } = cursor;
      const high = reader.high(b, i);
      const low = reader.low(b, i);
      // Also what the event lacks reads as 0.
      if (high === 0 && low === 0 && Number.isNaN(reader.number(b, i))) return undefined;
      return hexText(high, low);
    };
  }
  const size = reader.place?.size ?? 0;
  if (size === 8 && bits32 === 'signed') return () => reader.low(cursor.b, cursor.i) | 0;
  if (size === 8 && bits32 === 'unsigned') return () => reader.low(cursor.b, cursor.i);
  if (size > 0 && size < 8) return () => reader.number(cursor.b, cursor.i);
  return () => {
    const value = reader.number(cursor.b, cursor.i);
    if (Number.isNaN(value)) return undefined;
    // What a double cannot hold is given exactly, as a bigint.
    return value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER
      ? value < 0
        ? BigInt.asIntN(64, unsigned64(reader, cursor.b, cursor.i))
        : unsigned64(reader, cursor.b, cursor.i)
      : value;
  };
}

/** Addresses come again and again: their texts are kept, so that the same address is mostly the very same string. */
const slots = 1 << 15;
const lows = new Uint32Array(slots);
const highs = new Uint32Array(slots);
const texts: string[] = new Array<string>(slots).fill('0x0');

function hexText(high: number, low: number): string {
  let h = Math.imul(low ^ (low >>> 15), 0x2c1b3c6d) ^ Math.imul(high, 0x297a2d39);
  h = (h ^ (h >>> 15)) & (slots - 1);
  if (lows[h] === low && highs[h] === high) return texts[h] as string;
  const text = hex64(high, low);
  lows[h] = low;
  highs[h] = high;
  texts[h] = text;
  return text;
}

/** Names that every JavaScript object may be asked for. */
const ordinary = new Set<PropertyKey>([...Object.getOwnPropertyNames(Object.prototype), 'toJSON', 'then', 'inspect']);

/** For `print`: the fields, decoded. */
function copy(this: object): object {
  return { ...this };
}

/** A prototype whose every property is an error that names the fields that there are. */
function strictPrototype(type: EventType, names: ReadonlySet<string>): object {
  return new Proxy(Object.create(null) as object, {
    get(_, name) {
      if (name === inspect.custom) return copy;
      if (typeof name === 'symbol') return undefined;
      if (ordinary.has(name)) return (Object.prototype as Record<PropertyKey, unknown>)[name];
      // Known from other versions of the event: this one does without.
      if (knownEvents().get(type.name)?.has(name) === true) return undefined;
      const own = [...names];
      const there =
        own.length === 0 ? 'it has none' : `it has ${own.slice(0, 40).join(', ')}${own.length > 40 ? ', …' : ''}`;
      throw new ScriptError(`${type.name} has no field ${name}; ${there}`);
    },
    set(_, name) {
      throw new ScriptError(`${type.name}: its fields are only to be read (${String(name)})`);
    },
    has: () => false,
  });
}
