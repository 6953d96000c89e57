import type { Meter } from '../../trace/budget.ts';
import { TraceError } from '../../trace/error.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { TypeTable } from '../../trace/trace.ts';
import { QemuProbeLayout, qemuProbe } from '../qemu-names.ts';
import type { Signatures } from '../trace-events.ts';
import type { ClockClass, EventClass, Metadata, StreamClass } from './classes.ts';
import { eventName, namedFields } from './event-names.ts';
import { HeaderReader } from './header.ts';
import { KvmMmioLayout } from './kvm-mmio.ts';
import { bareName, CtfLayout, isCalled, isText, type NamedField, staticPlace } from './layout.ts';
import { alignUp, Compiler, Node, type Scopes } from './nodes.ts';
import { ByteShape, lacking, unresolved, unwanted } from './scan.ts';
import { stepsOf } from './steps.ts';
import { Walker } from './walker.ts';

/** Marks what has to be searched for. */
const searched = -2;

/** The class of an event, by the phase (see CtfLayout) that its contexts and fields begin at. */
export class EventKind {
  /** The number of its class. */
  readonly id: number;
  readonly root: Node;
  readonly name: string;
  readonly recordedAs: string;
  readonly named: readonly NamedField[];
  /** Alignment boundaries are this far apart, in bits, and so many phases are there. */
  readonly phases: number;
  /** By phase: the type, how many bits there are from the beginning on, and the bytes to thread and process id. */
  readonly codes: Int32Array;
  readonly sizes: Int32Array;
  readonly tidAt: Int32Array;
  readonly pidAt: Int32Array;
  readonly cpuAt: Int32Array;
  readonly tid: SearchedField | undefined;
  readonly pid: SearchedField | undefined;
  readonly cpu: SearchedField | undefined;
  readonly procname: SearchedField | undefined;
  /** Registers of packets and headers that the event refers to. Types differ by their values, too. */
  readonly outside: readonly number[];
  readonly types = new Map<string, number>();
  readonly parent: SearchedField | undefined;
  /** What perf notes besides samples, which is no event: a thread's name, or its beginning, or something else. */
  readonly aside: 'comm' | 'fork' | 'other' | undefined;
  readonly tidLittle: boolean;
  readonly pidLittle: boolean;
  readonly cpuLittle: boolean;
  readonly #paths = new Map<Node, ReadonlySet<Node>>();

  constructor(
    id: number,
    root: Node,
    contexts: readonly Node[],
    name: string,
    recordedAs: string,
    named: readonly NamedField[],
    outside: readonly number[],
  ) {
    this.id = id;
    this.root = root;
    this.name = name;
    this.recordedAs = recordedAs;
    const aside = /^perf_(comm|fork|exit|mmap2?)$/.exec(recordedAs)?.[1];
    this.aside = aside === undefined || aside === 'comm' || aside === 'fork' ? aside : 'other';
    this.named = named;
    this.outside = outside;
    this.phases = Math.max(8, ...root.children.map(largest));
    this.codes = new Int32Array(this.phases).fill(unresolved);
    this.sizes = new Int32Array(this.phases).fill(-1);
    this.tidAt = new Int32Array(this.phases).fill(lacking);
    this.pidAt = new Int32Array(this.phases).fill(lacking);
    this.cpuAt = new Int32Array(this.phases).fill(lacking);
    const own = (name: string) => named.find(({ node }) => isCalled(node, name) && isId(node));
    if (this.aside === undefined) {
      this.tid = own('perf_tid') ?? contextOf(contexts, 'tid', 'vtid');
      this.pid = own('perf_pid') ?? contextOf(contexts, 'pid', 'vpid');
      this.cpu = own('perf_cpu') ?? contextOf(contexts, 'cpu_id');
      this.procname = contextOf(contexts, 'procname');
    } else {
      this.tid = own('tid');
      this.pid = own('pid');
      this.parent = own('ptid');
      this.procname = named.find(({ name }) => name === 'comm');
    }
    this.tidLittle = this.tid?.node.little ?? true;
    this.pidLittle = this.pid?.node.little ?? true;
    this.cpuLittle = this.cpu?.node.little ?? true;
  }

  /** What a field is in, for the walker to find it. */
  pathTo(node: Node): ReadonlySet<Node> {
    let path = this.#paths.get(node);
    if (path === undefined) {
      path = new Set(ancestors(node));
      this.#paths.set(node, path);
    }
    return path;
  }
}

function* ancestors(node: Node): Generator<Node> {
  for (let one: Node | undefined = node; one !== undefined; one = one.parent) yield one;
}

/** The largest alignment in a node. */
function largest(node: Node): number {
  return node.children.reduce((most, child) => Math.max(most, largest(child)), node.align);
}

function isId(node: Node): boolean {
  return node.kind === 'int' && node.size <= 64;
}

/** The first of these fields that a context has. */
function contextOf(contexts: readonly Node[], ...names: string[]): SearchedField | undefined {
  for (const name of names) {
    for (const context of contexts) {
      const node = context.children.find((child) => bareName(child.name) === name);
      if (node !== undefined && (isId(node) || isText(node) || (node.kind === 'string' && node.unit === 1)))
        return { node };
    }
  }
  return undefined;
}

/** An integer or text that has to be found in each event. */
export type SearchedField = { node: Node };

/** A class of streams of a trace: how its packets and events are read, and the types of its events. */
export class StreamKind {
  readonly metadata: Metadata;
  readonly type: StreamClass;
  /** Of packets: header and context. */
  readonly packetHeader: Node | undefined;
  readonly packetContext: Node | undefined;
  readonly header: HeaderReader;
  readonly clock: ClockClass | undefined;
  readonly registers: number;
  /** How events lie that can be scanned by bytes; undefined where their headers cannot be. */
  readonly shape: ByteShape | undefined;
  /** By the number of their class; those above 65,535 apart. */
  readonly kinds: (EventKind | undefined)[] = [];
  readonly #others = new Map<number, EventKind>();
  readonly #types: TypeTable;
  readonly #signatures: Signatures;
  readonly #wants: (type: EventType) => boolean;

  constructor(
    metadata: Metadata,
    type: StreamClass,
    file: string,
    meter: Meter,
    types: TypeTable,
    signatures: Signatures,
    wants: (type: EventType) => boolean,
  ) {
    this.#signatures = signatures;
    this.metadata = metadata;
    this.type = type;
    this.#types = types;
    this.#wants = wants;
    let place = 0;
    let what = `stream ${type.id}`;
    const fail = (problem: string, expected: string) => new TraceError(file, `${what}: ${problem}`, place, expected);
    const compiler = new Compiler(metadata, meter, fail);
    const scopes: Scopes = new Map();
    this.packetHeader = compiler.scope(metadata.packetHeader, 'packet header', scopes);
    this.packetContext = compiler.scope(type.packetContext, 'packet context', scopes);
    const header = compiler.scope(type.header, 'event header', scopes);
    const outer = new Map(scopes);
    const events = metadata.events.filter(({ stream }) => stream === type.id);
    for (const event of events) {
      place = event.offset;
      what = `the event ${event.name === '' ? event.id : event.name}`;
      this.#add(event, compiler, new Map(outer), outer);
    }
    // Now it is known what events refer to.
    this.header = new HeaderReader(header);
    const { little } = metadata;
    const forms = this.header.forms(little);
    this.shape = forms && new ByteShape(little, forms.forms, forms.tag, forms.second);
    this.registers = compiler.registers;
    this.clock = this.#clockOf([this.packetContext, header]);
  }

  kind(id: number): EventKind | undefined {
    return id < 65536 ? this.kinds[id] : this.#others.get(id);
  }

  #add(event: EventClass, compiler: Compiler, scopes: Scopes, outer: Scopes): void {
    const context = compiler.scope(this.type.context, 'stream event context', scopes);
    const own = compiler.scope(event.context, 'event context', scopes);
    const fields = compiler.scope(event.fields, 'fields', scopes);
    const root = new Node('root', '', undefined, undefined);
    const contexts = [context, own].filter((node) => node !== undefined);
    root.children = [...contexts, ...(fields === undefined ? [] : [fields])];
    const name = eventName(this.metadata, event.name);
    const outside = registersOf([...outer.values()]).filter((register) => uses(root, register));
    const kind = new EventKind(
      event.id,
      root,
      contexts,
      name,
      event.name,
      namedFields(name, fields, contexts),
      outside,
    );
    if (event.id < 65536) this.kinds[event.id] ??= kind;
    else if (!this.#others.has(event.id)) this.#others.set(event.id, kind);
  }

  /** Finds the type of an event that begins at a phase. `walker` stands behind the event's header. */
  resolve(kind: EventKind, phase: number, walker: Walker): number {
    const values = kind.outside.map((register) => `${walker.high[register]}:${walker.low[register]}`).join(' ');
    const key = `${phase} ${values}`;
    let code = kind.types.get(key);
    if (code === undefined) {
      code = this.#type(kind, phase, walker);
      kind.types.set(key, code);
    }
    // What depends on more than the phase is asked for each time.
    if (kind.outside.length > 0) return code;
    kind.codes[phase] = code;
    if (phase === 0) this.#scan(kind, code);
    return code;
  }

  /** From now on events of this class that begin with a byte are scanned, where they can be. */
  #scan({ id, root, aside, procname, tidAt, pidAt, cpuAt, ...kind }: EventKind, code: number): void {
    const { shape } = this;
    const places = { tid: tidAt[0] as number, pid: pidAt[0] as number, cpu: cpuAt[0] as number };
    const known = (field: SearchedField | undefined, little: boolean) =>
      field === undefined || little === shape?.little;
    if (
      shape === undefined ||
      aside !== undefined ||
      Object.values(places).some((at) => at < lacking) ||
      !known(kind.tid, kind.tidLittle) ||
      !known(kind.pid, kind.pidLittle) ||
      !known(kind.cpu, kind.cpuLittle)
    )
      return;
    // Whose name nobody knows.
    const node = kind.tid === undefined ? undefined : procname?.node;
    const steps = stepsOf(root, shape.little, node);
    const name = node === undefined ? undefined : staticPlace(root, 0, node);
    const inStep = node?.kind === 'string';
    if (steps === undefined || (node !== undefined && !inStep && (name === undefined || node.length < 0))) return;
    const nameSize = node === undefined ? 0 : inStep ? -1 : node.length;
    shape.add(id, { code, steps, ...places, name: (name ?? 0) >> 3, nameSize });
  }

  #type(kind: EventKind, phase: number, walker: Walker): number {
    const own = new Walker();
    own.reserve(this.registers + 1);
    own.low.set(walker.low.subarray(0, this.registers));
    own.high.set(walker.high.subarray(0, this.registers));
    let end = phase;
    for (const node of kind.root.children) {
      if (!node.fixed) end = Number.POSITIVE_INFINITY;
      else if (end < 2 ** 30) end = alignUp(end, node.align) + node.size;
    }
    kind.sizes[phase] = end < 2 ** 30 ? end - phase : -1;
    kind.tidAt[phase] = placeOf(kind, kind.tid, phase);
    kind.pidAt[phase] = placeOf(kind, kind.pid, phase);
    kind.cpuAt[phase] = placeOf(kind, kind.cpu, phase);
    if (kind.aside !== undefined) return unwanted;
    const layout = new CtfLayout(kind.root, kind.named, phase, own);
    const type = this.#addType(kind, layout);
    return this.#wants(type) ? type.id : unwanted;
  }

  /** QEMU's probes, as perf records them, are QEMU's events. */
  #addType(kind: EventKind, layout: CtfLayout): EventType {
    const { name, recordedAs } = kind;
    const [system = '', event = ''] = name.split(':');
    const probe = kind.named.some(({ node }) => isCalled(node, '__probe_ip'));
    const qemus = qemuProbe(system, event, probe, this.#signatures);
    if (qemus !== undefined)
      return this.#types.add(qemus, new QemuProbeLayout(layout, qemus, this.#signatures), recordedAs);
    return this.#types.add(name, name === 'kvm:kvm_mmio' ? new KvmMmioLayout(layout) : layout, recordedAs);
  }

  /** The clock of a stream's times. */
  #clockOf(nodes: (Node | undefined)[]): ClockClass | undefined {
    const { clocks } = this.metadata;
    if (this.metadata.major === 2) return this.type.clock === undefined ? undefined : clocks.get(this.type.clock);
    let named: string | undefined;
    let timed = false;
    const look = (node: Node) => {
      if (node.class?.kind === 'int') named ??= node.class.clock;
      timed ||= node.role === 'time' || node.role === 'begin';
      for (const child of node.children) look(child);
    };
    for (const node of nodes.toReversed()) if (node !== undefined) look(node);
    if (named !== undefined) return clocks.get(named) ?? defaultClock;
    if (!timed) return undefined;
    return clocks.size === 0 ? defaultClock : clocks.size === 1 ? clocks.values().next().value : undefined;
  }
}

/** What times without a declared clock are taken for. */
const defaultClock: ClockClass = {
  name: 'default',
  uuid: '',
  frequency: 1_000_000_000n,
  seconds: 0n,
  cycles: 0n,
  epoch: false,
};

/** Bytes from an event's beginning to an integer of 32 bits. */
function placeOf({ root }: EventKind, field: SearchedField | undefined, phase: number): number {
  if (field === undefined) return lacking;
  const at = staticPlace(root, phase, field.node);
  if (at === undefined || (at & 7) !== 0 || field.node.size !== 32) return searched;
  return (at >> 3) - (phase >> 3);
}

function registersOf(nodes: readonly Node[]): number[] {
  return nodes.flatMap((node) => [...(node.register >= 0 ? [node.register] : []), ...registersOf(node.children)]);
}

/** Whether something in a node refers to a register. */
function uses(node: Node, register: number): boolean {
  return node.by?.register === register || node.children.some((child) => uses(child, register));
}
