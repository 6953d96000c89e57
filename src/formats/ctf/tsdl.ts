import type { Meter } from '../../trace/budget.ts';
import type { TraceError } from '../../trace/error.ts';
import type {
  EventClass,
  FieldClass,
  FloatClass,
  IntClass,
  Label,
  Metadata,
  Reference,
  Role,
  Scope,
  StreamClass,
} from './classes.ts';
import { Declarations, type Fail } from './declarations.ts';
import { Lexer } from './tsdl-lexer.ts';

/** Where a dotted path begins, longest first. */
const pathOrigins: readonly [path: string, scope: Scope][] = [
  ['trace.packet.header', 'packet header'],
  ['stream.packet.context', 'packet context'],
  ['stream.event.header', 'event header'],
  ['stream.event.context', 'stream event context'],
  ['event.context', 'event context'],
  ['event.fields', 'fields'],
];

/** What fields of these names are for, by where they stand. */
const headerRoles = new Map<string, Role>(
  Object.entries<Role>({
    magic: 'magic',
    uuid: 'uuid',
    stream_id: 'stream class',
    stream_instance_id: 'stream',
  }),
);
const packetRoles = new Map<string, Role>(
  Object.entries<Role>({
    timestamp_begin: 'begin',
    timestamp_end: 'end',
    content_size: 'content size',
    packet_size: 'packet size',
    events_discarded: 'discarded',
    packet_seq_num: 'sequence number',
    cpu_id: 'cpu',
    // As babeltrace2 writes what is no name of the specification's.
    _cpu_id: 'cpu',
  }),
);

/** Names that are in force in a block, and those of the blocks around it. */
class Names {
  readonly aliases = new Map<string, FieldClass>();
  readonly outer: Names | undefined;

  constructor(outer?: Names) {
    this.outer = outer;
  }

  find(name: string): FieldClass | undefined {
    return this.aliases.get(name) ?? this.outer?.find(name);
  }
}

type Value = bigint | string;

/** The words that can begin or go on with a C type's name. */
const cWords = new Set(
  'void char short int long float double signed unsigned const _Bool _Complex _Imaginary'.split(' '),
);

/**
 * Reads metadata in TSDL (CTF 1.8, chapters 7 and C). Every declared thing takes memory from `meter`. `fail` makes the error for a
 * character's place.
 */
export function parseTsdl(source: string, meter: Meter, fail: Fail): Metadata {
  return new Parser(source, meter, fail).read();
}

class Parser extends Declarations {
  readonly #lexer: Lexer;
  #major = 1;
  #little: boolean | undefined;
  #traced = false;

  constructor(source: string, meter: Meter, fail: Fail) {
    super(meter);
    this.#lexer = new Lexer(source, fail);
  }

  read(): Metadata {
    const lexer = this.#lexer;
    const names = new Names();
    while (lexer.next.kind !== 'end') {
      if (lexer.accept(';')) continue;
      this.#top(names);
    }
    if (!this.#traced) throw lexer.fail('the metadata hold no trace block', 'trace { … };');
    if (this.events.some(({ stream }) => stream === 0) && !this.streams.has(0) && this.streams.size === 0)
      this.streams.set(0, {
        id: 0,
        header: undefined,
        packetContext: undefined,
        context: undefined,
        clock: undefined,
      });
    for (const { stream, name, offset } of this.events) {
      if (!this.streams.has(stream))
        throw lexer.fail(`the event ${name} is of stream ${stream}, which is not declared`, 'its stream', offset);
    }
    return this.metadata(this.#major, this.#little ?? true);
  }

  #top(names: Names): void {
    const lexer = this.#lexer;
    const { text, kind } = lexer.next;
    if (kind === 'name') {
      switch (text) {
        case 'trace':
          this.#trace(names);
          return;
        case 'env':
          this.#env(names);
          return;
        case 'clock':
          this.#clock(names);
          return;
        case 'stream':
          this.#stream(names);
          return;
        case 'event':
          this.#event(names);
          return;
        case 'callsite':
          lexer.take();
          this.#block(names, () => undefined);
          return;
      }
    }
    this.#declaration(names);
    lexer.expect(';');
  }

  /** typealias, typedef, or a struct, variant or enum that is named for later. */
  #declaration(names: Names): void {
    const lexer = this.#lexer;
    if (lexer.accept('typealias')) {
      const type = this.#type(names);
      const [, full] = this.#declarator(type, names, true);
      lexer.expect(':=');
      const alias = this.#cName();
      if (alias === '') throw lexer.unexpected('the name of a type');
      names.aliases.set(alias, full);
    } else if (lexer.accept('typedef')) {
      const type = this.#type(names);
      do {
        const [name, full] = this.#declarator(type, names, false);
        names.aliases.set(name, full);
      } while (lexer.accept(','));
    } else if (/^(struct|variant|enum)$/.test(lexer.next.text)) this.#type(names);
    else throw lexer.unexpected('a declaration');
  }

  /** A block of assignments. `assign` gets the type or the value of each. */
  #block(outer: Names, assign: (key: string, value: Value | FieldClass, at: number) => void): void {
    const lexer = this.#lexer;
    const names = new Names(outer);
    lexer.expect('{');
    while (!lexer.accept('}')) {
      if (lexer.accept(';')) continue;
      if (/^(typealias|typedef|struct|variant|enum)$/.test(lexer.next.text)) {
        this.#declaration(names);
      } else {
        const { at } = lexer.next;
        const key = this.#dotted();
        if (lexer.accept(':=')) {
          const type = this.#type(names);
          assign(key, this.#declarator(type, names, true)[1], at);
        } else {
          lexer.expect('=');
          assign(key, this.#value(), at);
        }
      }
      lexer.expect(';');
    }
  }

  #trace(names: Names): void {
    const lexer = this.#lexer;
    const { at } = lexer.take();
    if (this.#traced) throw lexer.fail('a second trace block', 'one', at);
    this.#traced = true;
    let minor = 8n;
    let major = 1n;
    this.#block(names, (key, value, place) => {
      if (key === 'major') major = this.#number(value, place);
      else if (key === 'minor') minor = this.#number(value, place);
      else if (key === 'uuid') this.uuid = uuidOf(value);
      else if (key === 'byte_order') this.#little = this.#byteOrder(value, place);
      else if (key === 'packet.header') this.packetHeader = named(this.#fieldClass(value, place), headerRoles);
    });
    if (major !== 1n || minor !== 8n)
      throw lexer.fail(`the metadata say CTF ${major}.${minor}`, 'CTF 1.8 or CTF 2', at);
    if (this.#little === undefined) throw lexer.fail('the trace block has no byte_order', 'byte_order = le or be', at);
  }

  #env(names: Names): void {
    this.#lexer.take();
    this.#block(names, (key, value) => {
      if (typeof value !== 'object') this.addToEnvironment(key, value);
    });
  }

  #clock(names: Names): void {
    const { at } = this.#lexer.take();
    const clock = { name: '', uuid: '', frequency: 1_000_000_000n, seconds: 0n, cycles: 0n, epoch: true };
    this.#block(names, (key, value, place) => {
      if (key === 'name') clock.name = String(value);
      else if (key === 'uuid') clock.uuid = uuidOf(value);
      else if (key === 'freq') clock.frequency = this.#number(value, place);
      else if (key === 'offset_s') clock.seconds = this.#number(value, place);
      else if (key === 'offset') clock.cycles = this.#number(value, place);
    });
    if (clock.name === '') throw this.#lexer.fail('a clock without a name', 'name = …', at);
    this.hold();
    this.addClock(clock.name, clock, at);
  }

  #stream(names: Names): void {
    const { at } = this.#lexer.take();
    const stream: StreamClass = {
      id: 0,
      header: undefined,
      packetContext: undefined,
      context: undefined,
      clock: undefined,
    };
    this.#block(names, (key, value, place) => {
      if (key === 'id') stream.id = this.#id(value, place);
      else if (key === 'event.header') stream.header = this.#fieldClass(value, place);
      else if (key === 'event.context') stream.context = this.#fieldClass(value, place);
      else if (key === 'packet.context') stream.packetContext = named(this.#fieldClass(value, place), packetRoles);
    });
    this.hold();
    this.addStream(stream, at);
  }

  #event(names: Names): void {
    const { at } = this.#lexer.take();
    const event: EventClass = { id: 0, stream: 0, name: '', context: undefined, fields: undefined, offset: at };
    this.#block(names, (key, value, place) => {
      if (key === 'id') event.id = this.#id(value, place);
      else if (key === 'stream_id') event.stream = this.#id(value, place);
      else if (key === 'name') event.name = String(value);
      else if (key === 'context') event.context = this.#fieldClass(value, place);
      else if (key === 'fields') event.fields = this.#fieldClass(value, place);
    });
    this.hold();
    this.events.push(event);
  }

  protected override error(problem: string, expected: string, at?: number): TraceError {
    return this.#lexer.fail(problem, expected, at);
  }

  /** A type, and the struct, variant or enum that it may declare. */
  #type(names: Names): FieldClass {
    return this.nested(() => {
      const lexer = this.#lexer;
      while (lexer.accept('const')) {}
      const { text, kind } = lexer.next;
      if (kind !== 'name') throw lexer.unexpected('a type');
      switch (text) {
        case 'integer':
          lexer.take();
          return this.#integer(names);
        case 'floating_point':
          lexer.take();
          return this.#float(names);
        case 'string':
          lexer.take();
          if (lexer.next.text === '{') this.#block(names, () => undefined);
          return { kind: 'string', encoding: 'utf-8' };
        case 'struct':
          return this.#struct(names);
        case 'variant':
          return this.#variant(names);
        case 'enum':
          return this.#enum(names);
      }
      const { at } = lexer.next;
      const name = this.#cName();
      const alias = names.find(name);
      if (alias === undefined) throw lexer.fail(`the type "${name}" is not declared`, 'a declared type', at);
      return alias;
    });
  }

  /** A name such as `uint32_t`, `unsigned long` or `void *`. */
  #cName(): string {
    const lexer = this.#lexer;
    const words: string[] = [];
    while (lexer.next.kind === 'name' && (words.length === 0 || cWords.has(lexer.next.text))) {
      // After a name that is no word of C comes the field's own.
      const word = lexer.take().text;
      words.push(word);
      if (!cWords.has(word)) break;
    }
    while (lexer.next.text === '*' && lexer.next.kind === 'mark') {
      lexer.take();
      words.push('*');
      while (lexer.accept('const')) {}
    }
    return words.filter((word) => word !== 'const').join(' ');
  }

  /** A field's name and its lengths: `name`, `name[3]`, `name[length]`. An abstract one has no name. */
  #declarator(type: FieldClass, names: Names, abstract: boolean): [name: string, type: FieldClass] {
    const lexer = this.#lexer;
    let pointers = '';
    while (lexer.accept('*')) {
      pointers += ' *';
      while (lexer.accept('const')) {}
    }
    if (pointers !== '') {
      const alias = names.find(`void${pointers}`);
      if (alias === undefined) throw lexer.fail(`the type "void${pointers}" is not declared`, 'a declared type');
      type = alias;
    }
    let name = '';
    if (!abstract) {
      if (lexer.next.kind !== 'name') throw lexer.unexpected('the name of a field');
      name = lexer.take().text;
    }
    const lengths: (number | Reference)[] = [];
    while (lexer.accept('[')) {
      const { kind, at } = lexer.next;
      if (kind === 'number') {
        lengths.push(this.arrayLength(Number(lexer.take().value), at));
      } else lengths.push(this.#reference());
      lexer.expect(']');
    }
    for (const length of lengths.reverse()) {
      this.hold();
      type = { kind: 'array', align: 1, element: type, length, encoding: undefined, roles: [] };
    }
    return [name, type];
  }

  #reference(): Reference {
    const { at } = this.#lexer.next;
    const path = this.#dotted();
    for (const [begin, origin] of pathOrigins) {
      if (path.startsWith(`${begin}.`)) return { origin, path: path.slice(begin.length + 1).split('.') };
    }
    if (/^(trace|stream|env|clock)\./.test(path))
      throw this.#lexer.fail(`"${path}" is no field`, 'a field of an event or a packet', at);
    return { origin: undefined, path: path.split('.') };
  }

  /** `a.b.c` */
  #dotted(): string {
    const lexer = this.#lexer;
    let path = '';
    do {
      const { kind } = lexer.next;
      if (kind !== 'name' && kind !== 'text') throw lexer.unexpected('a name');
      path += path === '' ? lexer.take().text : `.${lexer.take().text}`;
      if (path.length > 4096) throw lexer.fail('a name of more than 4096 letters', 'less');
    } while (lexer.accept('.') || lexer.accept('->'));
    return path;
  }

  #value(): Value {
    const lexer = this.#lexer;
    if (lexer.next.kind === 'name') return this.#dotted();
    if (lexer.next.kind === 'text') {
      let text = lexer.take().text;
      while ((lexer.next.kind as string) === 'text') text += lexer.take().text;
      return text;
    }
    return this.#signedNumber();
  }

  #signedNumber(): bigint {
    const lexer = this.#lexer;
    const negative = lexer.accept('-');
    if (!negative) lexer.accept('+');
    const { kind, at } = lexer.next;
    if (kind !== 'number') throw lexer.unexpected('a value');
    const { value } = lexer.take();
    if (value >= 1n << 64n) throw lexer.fail(`the number ${value}`, 'at most 64 bits', at);
    return negative ? -value : value;
  }

  #integer(names: Names): IntClass {
    const lexer = this.#lexer;
    const { at } = lexer.next;
    let size = 0;
    let align = 0;
    let signed = false;
    let little: boolean | undefined;
    let base = 10;
    let text = false;
    let clock: string | undefined;
    this.#block(names, (key, value, place) => {
      switch (key) {
        case 'size':
          size = Number(this.#number(value, place));
          break;
        case 'align':
          align = this.#align(value, place);
          break;
        case 'signed':
          signed = this.#boolean(value, place);
          break;
        case 'byte_order':
          little = this.#byteOrder(value, place);
          break;
        case 'base':
          base = this.#base(value, place);
          break;
        case 'encoding':
          text = this.#isText(value, place);
          break;
        case 'map':
          clock = this.#clockOf(value, place);
      }
    });
    this.intSize(size, at);
    if (align === 0) align = size % 8 === 0 ? 8 : 1;
    return { kind: 'int', size, align, signed, little, base, text, labels: undefined, clock, roles: [] };
  }

  #float(names: Names): FloatClass {
    const lexer = this.#lexer;
    const { at } = lexer.next;
    let mantissa = 0n;
    let exponent = 0n;
    let align = 0;
    let little: boolean | undefined;
    this.#block(names, (key, value, place) => {
      if (key === 'mant_dig') mantissa = this.#number(value, place);
      else if (key === 'exp_dig') exponent = this.#number(value, place);
      else if (key === 'align') align = this.#align(value, place);
      else if (key === 'byte_order') little = this.#byteOrder(value, place);
    });
    const size = this.floatSize(Number(mantissa + exponent), at);
    return { kind: 'float', size, align: align === 0 ? 8 : align, little };
  }

  #struct(names: Names): FieldClass {
    const lexer = this.#lexer;
    lexer.expect('struct');
    const name = lexer.next.kind === 'name' && lexer.next.text !== 'align' ? lexer.take().text : '';
    if (lexer.next.text !== '{') return this.#tagged('struct', name, names);
    const members: { name: string; class: FieldClass }[] = [];
    const inner = new Names(names);
    lexer.expect('{');
    const seen = new Set<string>();
    while (!lexer.accept('}')) {
      if (lexer.accept(';')) continue;
      if (/^(typealias|typedef)$/.test(lexer.next.text)) this.#declaration(inner);
      else {
        for (const member of this.#fields(inner)) {
          if (seen.has(member.name)) throw lexer.fail(`a second field "${member.name}"`, 'names that differ');
          seen.add(member.name);
          members.push(member);
        }
      }
      lexer.expect(';');
    }
    let align = 1;
    if (lexer.accept('align')) {
      lexer.expect('(');
      align = this.#align(this.#value(), lexer.next.at);
      lexer.expect(')');
    }
    const type: FieldClass = { kind: 'struct', align, members };
    if (name !== '') names.aliases.set(`struct ${name}`, type);
    return type;
  }

  #fields(names: Names): { name: string; class: FieldClass }[] {
    const lexer = this.#lexer;
    const type = this.#type(names);
    const fields: { name: string; class: FieldClass }[] = [];
    // `struct x { … };` declares a type only.
    if (lexer.next.text === ';') return fields;
    do {
      const [name, full] = this.#declarator(type, names, false);
      fields.push({ name, class: full });
    } while (lexer.accept(','));
    return fields;
  }

  #variant(names: Names): FieldClass {
    const lexer = this.#lexer;
    lexer.expect('variant');
    const name = lexer.next.kind === 'name' ? lexer.take().text : '';
    let selector: Reference | undefined;
    if (lexer.accept('<')) {
      selector = this.#reference();
      lexer.expect('>');
    }
    if (lexer.next.text !== '{') {
      const known = this.#tagged('variant', name, names);
      return known.kind === 'variant' ? { ...known, selector: selector ?? known.selector } : known;
    }
    const inner = new Names(names);
    const options: { name: string; ranges: undefined; class: FieldClass }[] = [];
    lexer.expect('{');
    while (!lexer.accept('}')) {
      if (lexer.accept(';')) continue;
      if (/^(typealias|typedef)$/.test(lexer.next.text)) this.#declaration(inner);
      else for (const field of this.#fields(inner)) options.push({ ...field, ranges: undefined });
      lexer.expect(';');
    }
    const type: FieldClass = { kind: 'variant', selector, options, optional: false };
    if (name !== '') names.aliases.set(`variant ${name}`, type);
    return type;
  }

  #enum(names: Names): FieldClass {
    const lexer = this.#lexer;
    lexer.expect('enum');
    const name = lexer.next.kind === 'name' ? lexer.take().text : '';
    const { at } = lexer.next;
    let container: FieldClass | undefined;
    if (lexer.accept(':')) container = this.#type(names);
    if (lexer.next.text !== '{') return this.#tagged('enum', name, names);
    container ??= names.find('int');
    if (container?.kind !== 'int')
      throw lexer.fail('an enumeration whose values are no integers', 'an integer type, or one called int', at);
    const labels: Label[] = [];
    let next = 0n;
    lexer.expect('{');
    while (!lexer.accept('}')) {
      const { kind } = lexer.next;
      if (kind !== 'name' && kind !== 'text') throw lexer.unexpected('a name of a value');
      const label = lexer.take().text;
      let low = next;
      let high = next;
      if (lexer.accept('=')) {
        low = this.#signedNumber();
        high = lexer.accept('...') ? this.#signedNumber() : low;
        if (high < low) throw lexer.fail(`values from ${low} to ${high}`, 'the lower first');
      }
      labels.push({ name: label, low, high });
      this.hold();
      next = high + 1n;
      if (!lexer.accept(',') && (lexer.next.text as string) !== '}') throw lexer.unexpected('"," or "}"');
    }
    const type: FieldClass = { ...container, labels };
    if (name !== '') names.aliases.set(`enum ${name}`, type);
    return type;
  }

  #tagged(kind: string, name: string, names: Names): FieldClass {
    const known = name === '' ? undefined : names.find(`${kind} ${name}`);
    if (known === undefined) throw this.#lexer.fail(`"${kind} ${name}" is not declared`, 'a declared type');
    return known;
  }

  #fieldClass(value: Value | FieldClass, at: number): FieldClass {
    if (typeof value === 'object') return value;
    throw this.#lexer.fail('a value', 'a type, after :=', at);
  }

  #number(value: Value | FieldClass, at: number): bigint {
    if (typeof value === 'bigint') return value;
    throw this.#lexer.fail(typeof value === 'string' ? `"${value}"` : 'a type', 'a number', at);
  }

  #id(value: Value | FieldClass, at: number): number {
    return this.idOf(this.#number(value, at), at);
  }

  #align(value: Value | FieldClass, at: number): number {
    return this.alignOf(Number(this.#number(value, at)), at);
  }

  #boolean(value: Value | FieldClass, at: number): boolean {
    if (value === 1n || /^true$/i.test(String(value))) return true;
    if (value === 0n || /^false$/i.test(String(value))) return false;
    throw this.#lexer.fail(`"${String(value)}"`, 'true or false', at);
  }

  /** Undefined for the trace's own. */
  #byteOrder(value: Value | FieldClass, at: number): boolean | undefined {
    if (value === 'le') return true;
    if (value === 'be' || value === 'network') return false;
    if (value === 'native') return undefined;
    throw this.#lexer.fail(`the byte order "${String(value)}"`, 'le, be, network or native', at);
  }

  #base(value: Value | FieldClass, at: number): number {
    if (value === 2n || value === 8n || value === 10n || value === 16n) return Number(value);
    const name = String(value);
    if (/^(decimal|dec|d|i|u)$/.test(name)) return 10;
    if (/^(hexadecimal|hex|x|X|p)$/.test(name)) return 16;
    if (/^(octal|oct|o)$/.test(name)) return 8;
    if (/^(binary|b)$/.test(name)) return 2;
    throw this.#lexer.fail(`the base "${name}"`, '2, 8, 10 or 16', at);
  }

  #isText(value: Value | FieldClass, at: number): boolean {
    if (value === 'none') return false;
    if (/^(utf-?8|ascii)$/i.test(String(value))) return true;
    throw this.#lexer.fail(`the encoding "${String(value)}"`, 'none, UTF8 or ASCII', at);
  }

  #clockOf(value: Value | FieldClass, at: number): string {
    const clock = /^clock\.(.+)\.value$/.exec(String(value))?.[1];
    if (clock !== undefined) return clock;
    throw this.#lexer.fail(`"${String(value)}"`, 'clock.NAME.value', at);
  }
}

function uuidOf(value: Value | FieldClass): string {
  return String(value).toLowerCase();
}

/** A structure whose members have the roles that go with their names. */
function named(type: FieldClass, roles: ReadonlyMap<string, Role>): FieldClass {
  if (type.kind !== 'struct') return type;
  const members = type.members.map(({ name, class: member }) => {
    const role = roles.get(name);
    const has = role !== undefined && (member.kind === 'int' || member.kind === 'array');
    return { name, class: has ? { ...member, roles: [role] } : member };
  });
  return { ...type, members };
}
