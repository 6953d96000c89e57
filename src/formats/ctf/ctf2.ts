import type { Meter } from '../../trace/budget.ts';
import type { TraceError } from '../../trace/error.ts';
import {
  byteClass,
  type FieldClass,
  type IntClass,
  type Label,
  type Metadata,
  type Reference,
  type Role,
  type Scope,
} from './classes.ts';
import { Declarations, type Fail } from './declarations.ts';

/** A piece of the metadata: one JSON text, and where it begins. */
export type Fragment = { text: string; at: number };

type Json = null | boolean | number | bigint | string | Json[] | JsonObject;
type JsonObject = { [key: string]: Json };

const origins = new Map<Json, Scope>(
  Object.entries<Scope>({
    'packet-header': 'packet header',
    'packet-context': 'packet context',
    'event-record-header': 'event header',
    'event-record-common-context': 'stream event context',
    'event-record-specific-context': 'event context',
    'event-record-payload': 'fields',
  }),
);

const rolesByName = new Map<Json, Role>(
  Object.entries<Role>({
    'packet-magic-number': 'magic',
    'metadata-stream-uuid': 'uuid',
    'data-stream-class-id': 'stream class',
    'data-stream-id': 'stream',
    'event-record-class-id': 'event class',
    'default-clock-timestamp': 'time',
    'packet-end-default-clock-timestamp': 'end',
    'packet-total-length': 'packet size',
    'packet-content-length': 'content size',
    'discarded-event-record-counter-snapshot': 'discarded',
    'packet-sequence-number': 'sequence number',
  }),
);

/**
 * Reads CTF 2 metadata: JSON texts, each after a record separator (RFC 7464). `fail` makes the error for a byte's place in the
 * metadata.
 */
export function parseCtf2(fragments: Iterable<Fragment>, meter: Meter, fail: Fail): Metadata {
  const reader = new Reader(meter, fail);
  for (const fragment of fragments) reader.add(fragment);
  return reader.done();
}

class Reader extends Declarations {
  readonly #fail: Fail;
  /** What JSON becomes in memory may be a hundred times as much as its text. */
  readonly #longest: number;
  #at = 0;
  #begun = false;
  readonly #aliases = new Map<string, FieldClass>();

  constructor(meter: Meter, fail: Fail) {
    super(meter);
    this.#fail = fail;
    this.#longest = Math.floor(meter.budget.part / 32);
  }

  add({ text, at }: Fragment): void {
    this.#at = at;
    if (text.length > this.#longest)
      throw this.error(`a fragment of ${text.length} characters`, `at most ${this.#longest}`);
    let json: Json;
    try {
      json = JSON.parse(text, exact) as Json;
    } catch (error) {
      throw this.error(`no JSON (${(error as Error).message.slice(0, 100)})`, 'one JSON object after each separator');
    }
    const fragment = this.#object(json, 'a fragment');
    const type = this.#text(fragment.type, 'type');
    if (!this.#begun) {
      if (type !== 'preamble' || Number(fragment.version) !== 2)
        throw this.error(`the metadata begin with "${type}"`, 'a preamble of version 2');
      this.#begun = true;
      this.uuid = uuidOf(fragment.uuid);
      return;
    }
    this.hold();
    switch (type) {
      case 'preamble':
        throw this.error('a second preamble', 'one');
      case 'field-class-alias':
        this.#aliases.set(this.#text(fragment.name, 'name'), this.#fieldClass(fragment['field-class']));
        return;
      case 'trace-class':
        this.packetHeader = this.#optional(fragment['packet-header-field-class'], 'packet header');
        if (fragment.uuid !== undefined) this.uuid = uuidOf(fragment.uuid);
        for (const [key, value] of Object.entries(this.#object(fragment.environment ?? {}, 'environment')))
          this.addToEnvironment(key, value);
        return;
      case 'clock-class':
        this.#clock(fragment);
        return;
      case 'data-stream-class':
        this.#stream(fragment);
        return;
      case 'event-record-class':
        this.#event(fragment);
        return;
      default:
        throw this.error(`a fragment of type "${type.slice(0, 60)}"`, 'one that CTF 2 has');
    }
  }

  done(): Metadata {
    if (!this.#begun) throw this.error('no fragment', 'a preamble');
    return this.metadata(2, true);
  }

  #clock(json: JsonObject): void {
    const name = this.#text(json.id ?? json.name, 'id');
    const offset = this.#object(json['offset-from-origin'] ?? json.offset ?? {}, 'offset-from-origin');
    const { origin } = json;
    this.addClock(name, {
      name: typeof json.name === 'string' ? json.name : name,
      uuid: typeof json.uid === 'string' ? json.uid : uuidOf(json.uuid),
      frequency: this.#int(json.frequency, 'frequency'),
      seconds: this.#int(offset.seconds ?? 0, 'seconds'),
      cycles: this.#int(offset.cycles ?? 0, 'cycles'),
      epoch: origin === 'unix-epoch' || json['origin-is-unix-epoch'] === true,
    });
  }

  #stream(json: JsonObject): void {
    const clock = json['default-clock-class-id'] ?? json['default-clock-class-name'];
    if (clock !== undefined && !this.clocks.has(String(clock)))
      throw this.error(`the clock class ${shown(clock)} is not declared`, 'a clock class before it');
    this.addStream({
      id: this.#id(json.id),
      header: this.#optional(json['event-record-header-field-class'], 'event header'),
      packetContext: this.#optional(json['packet-context-field-class'], 'packet context'),
      context: this.#optional(json['event-record-common-context-field-class'], 'stream event context'),
      clock: clock === undefined ? undefined : String(clock),
    });
  }

  #event(json: JsonObject): void {
    const stream = this.#id(json['data-stream-class-id']);
    if (!this.streams.has(stream))
      throw this.error(`data stream class ${stream} is not declared`, 'a data stream class before its event records');
    this.events.push({
      id: this.#id(json.id),
      stream,
      name: typeof json.name === 'string' ? json.name : '',
      context: this.#optional(json['specific-context-field-class'], 'event context'),
      fields: this.#optional(json['payload-field-class'], 'fields'),
      offset: this.#at,
    });
  }

  #optional(json: Json | undefined, scope: Scope): FieldClass | undefined {
    if (json === undefined) return undefined;
    const type = this.#fieldClass(json);
    if (type.kind !== 'struct') throw this.error(`the ${scope} is no structure`, 'a structure');
    return scope === 'packet context' ? withCpu(type) : type;
  }

  #fieldClass(json: Json | undefined): FieldClass {
    return this.nested(() => {
      if (typeof json !== 'string') return this.#plainClass(this.#object(json, 'a field class'));
      const alias = this.#aliases.get(json);
      if (alias === undefined) throw this.error(`the field class "${json.slice(0, 60)}" is not declared`, 'an alias');
      return alias;
    });
  }

  #plainClass(json: JsonObject): FieldClass {
    const type = this.#text(json.type, 'type');
    const roles = this.#roles(json.roles);
    switch (type) {
      case 'fixed-length-bit-array':
      case 'fixed-length-bit-map':
        return { ...this.#fixed(json, false), base: 16, roles };
      case 'fixed-length-boolean':
        return { ...this.#fixed(json, false), labels: booleanLabels, roles };
      case 'fixed-length-unsigned-integer':
      case 'fixed-length-unsigned-enumeration':
        return { ...this.#fixed(json, false), labels: this.#labels(json.mappings), roles };
      case 'fixed-length-signed-integer':
      case 'fixed-length-signed-enumeration':
        return { ...this.#fixed(json, true), labels: this.#labels(json.mappings), roles };
      case 'variable-length-unsigned-integer':
      case 'variable-length-unsigned-enumeration':
      case 'variable-length-signed-integer':
      case 'variable-length-signed-enumeration': {
        const signed = type.startsWith('variable-length-signed');
        const labels = this.#labels(json.mappings);
        return { kind: 'varint', signed, base: this.#base(json), labels, clock: undefined, roles };
      }
      case 'fixed-length-floating-point-number': {
        const { size, align, little } = this.#fixed(json, false);
        return { kind: 'float', size: this.floatSize(size), align, little };
      }
      case 'null-terminated-string':
        return { kind: 'string', encoding: this.#encoding(json) };
      case 'static-length-string':
      case 'dynamic-length-string':
        return {
          kind: 'array',
          align: 8,
          element: byteClass(true),
          length: this.#length(json, type),
          encoding: this.#encoding(json),
          roles: [],
        };
      case 'static-length-blob':
      case 'dynamic-length-blob':
        return {
          kind: 'array',
          align: 8,
          element: byteClass(false),
          length: this.#length(json, type),
          encoding: undefined,
          roles,
        };
      case 'structure': {
        const members = this.#list(json['member-classes'] ?? [], 'member-classes').map((member) => {
          const one = this.#object(member, 'a member class');
          return { name: this.#text(one.name, 'name'), class: this.#fieldClass(one['field-class']) };
        });
        if (new Set(members.map(({ name }) => name)).size < members.length)
          throw this.error('two members of one name', 'names that differ');
        return { kind: 'struct', align: this.#align(json['minimum-alignment'] ?? 1), members };
      }
      case 'static-length-array':
      case 'dynamic-length-array':
        return {
          kind: 'array',
          align: this.#align(json['minimum-alignment'] ?? 1),
          element: this.#fieldClass(json['element-field-class']),
          length: this.#length(json, type),
          encoding: undefined,
          roles,
        };
      case 'optional':
        return {
          kind: 'variant',
          selector: this.#location(json['selector-field-location']),
          options: [
            {
              name: '',
              ranges:
                json['selector-field-ranges'] === undefined ? nonZero : this.#ranges('', json['selector-field-ranges']),
              class: this.#fieldClass(json['field-class']),
            },
          ],
          optional: true,
        };
      case 'variant': {
        const options = this.#list(json.options, 'options').map((option, n) => {
          const one = this.#object(option, 'an option');
          const name = typeof one.name === 'string' ? one.name : String(n);
          return {
            name,
            ranges: this.#ranges(name, one['selector-field-ranges']),
            class: this.#fieldClass(one['field-class']),
          };
        });
        return { kind: 'variant', selector: this.#location(json['selector-field-location']), options, optional: false };
      }
      default:
        throw this.error(`a field class of type "${type.slice(0, 60)}"`, 'one that CTF 2 has');
    }
  }

  #fixed(json: JsonObject, signed: boolean): IntClass {
    const size = this.intSize(Number(this.#int(json.length, 'length')));
    const order = json['byte-order'];
    if (order !== 'little-endian' && order !== 'big-endian')
      throw this.error(`the byte order ${shown(order)}`, '"little-endian" or "big-endian"');
    const little = order === 'little-endian';
    const bits = json['bit-order'];
    if (bits !== undefined && (bits === 'first-to-last') !== little)
      throw this.error(`the bit order ${shown(bits)} in ${order} fields`, 'the usual one');
    return {
      kind: 'int',
      size,
      align: this.#align(json.alignment ?? 1),
      signed,
      little,
      base: this.#base(json),
      text: false,
      labels: undefined,
      clock: undefined,
      roles: [],
    };
  }

  #base(json: JsonObject): number {
    const base = Number(json['preferred-display-base'] ?? 10);
    return base === 2 || base === 8 || base === 16 ? base : 10;
  }

  #labels(json: Json | undefined): readonly Label[] | undefined {
    if (json === undefined) return undefined;
    return Object.entries(this.#object(json, 'mappings')).flatMap(([name, ranges]) => this.#ranges(name, ranges));
  }

  #ranges(name: string, json: Json | undefined): readonly Label[] {
    return this.#list(json, 'ranges').map((range) => {
      this.hold();
      const [low, high] = this.#list(range, 'a range');
      return { name, low: this.#int(low, 'a range'), high: this.#int(high, 'a range') };
    });
  }

  #length(json: JsonObject, type: string): number | Reference {
    if (type.startsWith('dynamic')) return this.#location(json['length-field-location']);
    return this.arrayLength(Number(this.#int(json.length, 'length')));
  }

  /** In final CTF 2 an object, before that a list that begins with the origin. */
  #location(json: Json | undefined): Reference {
    let origin: Json | undefined;
    let path: Json[];
    if (Array.isArray(json)) [origin, ...path] = json;
    else {
      const location = this.#object(json, 'a field location');
      origin = location.origin;
      path = this.#list(location.path, 'path');
    }
    const scope = origin === undefined || origin === null ? undefined : origins.get(origin);
    if (origin !== undefined && origin !== null && scope === undefined)
      throw this.error(`a field location in ${shown(origin)}`, 'a part of a packet or an event record');
    // null leads to what is around: the search goes there of itself.
    return { origin: scope, path: path.filter((name) => name !== null).map(String) };
  }

  #encoding(json: JsonObject): string {
    const encoding = String(json.encoding ?? 'utf-8').toLowerCase();
    if (/^utf-(8|16le|16be|32le|32be)$/.test(encoding)) return encoding;
    throw this.error(`the encoding "${encoding.slice(0, 60)}"`, 'utf-8, utf-16le, utf-16be, utf-32le or utf-32be');
  }

  #roles(json: Json | undefined): readonly Role[] {
    if (json === undefined) return [];
    return this.#list(json, 'roles')
      .map((role) => rolesByName.get(role))
      .filter((role) => role !== undefined);
  }

  #align(json: Json): number {
    return this.alignOf(Number(this.#int(json, 'an alignment')));
  }

  #id(json: Json | undefined): number {
    return this.idOf(this.#int(json ?? 0, 'id'));
  }

  #int(json: Json | undefined, what: string): bigint {
    if (typeof json === 'bigint') return json;
    if (typeof json === 'number' && Number.isSafeInteger(json)) return BigInt(json);
    throw this.error(`${what}: ${shown(json)}`, 'an integer');
  }

  #text(json: Json | undefined, what: string): string {
    if (typeof json === 'string') return json;
    throw this.error(`no "${what}"`, 'a text');
  }

  #list(json: Json | undefined, what: string): Json[] {
    if (Array.isArray(json)) return json;
    throw this.error(`${what} is no array`, 'an array');
  }

  #object(json: Json | undefined, what: string): JsonObject {
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json;
    throw this.error(`${what} is no object`, 'a JSON object');
  }

  protected override error(problem: string, expected: string): TraceError {
    return this.#fail(problem, this.#at, expected);
  }
}

/** A value that is not what it should be, for a message. */
function shown(json: Json | undefined): string {
  if (json === undefined) return 'none';
  const text = typeof json === 'object' && json !== null ? (Array.isArray(json) ? 'an array' : 'an object') : undefined;
  return text ?? (typeof json === 'string' ? JSON.stringify(json.slice(0, 60)) : String(json));
}

/** Integers beyond 2^53 as they stand in the text. */
function exact(_key: string, value: unknown, context?: { source: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  return context !== undefined && /^-?\d{1,40}$/.test(context.source) ? BigInt(context.source) : value;
}

const booleanLabels: readonly Label[] = [
  { name: 'false', low: 0n, high: 0n },
  { name: 'true', low: 1n, high: (1n << 64n) - 1n },
];
/** What selects an optional field by a boolean. */
const nonZero: readonly Label[] = [{ name: '', low: 1n, high: (1n << 64n) - 1n }];

/** CTF 2 has no role for the CPU; recorders call it so. */
function withCpu(type: FieldClass & { kind: 'struct' }): FieldClass {
  const members = type.members.map(({ name, class: member }) => {
    const cpu = name === 'cpu_id' && (member.kind === 'int' || member.kind === 'varint');
    return { name, class: cpu ? { ...member, roles: [...member.roles, 'cpu' as const] } : member };
  });
  return { ...type, members };
}

/** Sixteen numbers, or the text of a UUID. */
function uuidOf(json: Json | undefined): string {
  if (typeof json === 'string') return json.toLowerCase();
  if (!Array.isArray(json)) return '';
  const hex = json.map((byte) => (Number(byte) & 255).toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
