import type { Meter } from '../../trace/budget.ts';
import type { TraceError } from '../../trace/error.ts';
import type { FieldClass, Label, Metadata, Reference, Role, Scope } from './classes.ts';
import { deepest, largestAlign, scopes } from './classes.ts';

/** Bytes of memory that a node takes; measured. */
const nodeBytes = 320;

/** A range of values, as doubles for comparing and exactly where these are not. */
type Range = { low: number; high: number; label: Label };

/**
 * A field where it stands in a packet or an event record: a class, with what its lengths and selections refer to found. Sizes and
 * alignments are in bits.
 */
export class Node {
  readonly kind: FieldClass['kind'] | 'root';
  readonly name: string;
  readonly class: FieldClass | undefined;
  readonly parent: Node | undefined;
  /** The alignment of its beginning: at least that of what is in it. */
  align = 1;
  /** How long it is from there on; -1 where that varies. */
  size = -1;
  /** Whether all lengths in it are the same in all packets. */
  get fixed(): boolean {
    return this.size >= 0;
  }
  children: Node[] = [];
  little = true;
  signed = false;
  /** Where the value is kept for those that refer to it, -1 where none does. */
  register = -1;
  role: Role | undefined;
  /** Whether something in it is kept or has a role, so that it cannot be passed over. */
  watched = false;
  /** Of an array: how many elements, -1 where the register `by` tells. Of a variant: the register that selects. */
  length = -1;
  by: Node | undefined;
  /** Of a variant: what selects each option. */
  ranges: Range[][] = [];
  optional = false;
  /** Of a text up to a NUL: bytes of a character. */
  unit = 1;
  /** What labels an integer's values have. */
  labels: readonly Label[] | undefined;

  constructor(kind: Node['kind'], name: string, type: FieldClass | undefined, parent: Node | undefined) {
    this.kind = kind;
    this.name = name;
    this.class = type;
    this.parent = parent;
  }

  /** Its fields, where those that can be passed over together are one step. Made once all is compiled. */
  get steps(): readonly Step[] {
    this.#steps ??= stepsOf(this.children);
    return this.#steps;
  }
  #steps: readonly Step[] | undefined;

  /** Marks it, and all around it, as not to be passed over. */
  watch(): void {
    for (let node: Node | undefined = this; node !== undefined && !node.watched; node = node.parent)
      node.watched = true;
  }
}

/** Fields that follow each other: one to look at, or some (undefined) of a known size. */
type Step = { node: Node | undefined; align: number; size: number };

function stepsOf(children: readonly Node[]): readonly Step[] {
  const steps: Step[] = [];
  for (const node of children) {
    const before = steps.at(-1);
    if (!node.fixed || node.watched) steps.push({ node, align: node.align, size: -1 });
    // From a boundary of the first field's alignment on, those of fields that need no more are where they always are.
    else if (before?.node === undefined && before !== undefined && node.align <= before.align && before.size < 2 ** 20)
      before.size = alignUp(before.size, node.align) + node.size;
    else steps.push({ node: undefined, align: node.align, size: node.size });
  }
  return steps;
}

/** Aligns a position up. */
export function alignUp(position: number, align: number): number {
  return (position + align - 1) & -align;
}

/** The fields of one scope that a record may refer to. */
export type Scopes = Map<Scope, Node>;

/** Makes nodes of classes: those of one trace. */
export class Compiler {
  readonly #metadata: Metadata;
  readonly #meter: Meter;
  readonly #fail: (problem: string, expected: string) => TraceError;
  /** How many registers there are. */
  registers = 0;
  #depth = 0;

  constructor(metadata: Metadata, meter: Meter, fail: (problem: string, expected: string) => TraceError) {
    this.#metadata = metadata;
    this.#meter = meter;
    this.#fail = fail;
  }

  /** The node of a scope's class, where it has one. `around` are the scopes before it. */
  scope(type: FieldClass | undefined, scope: Scope, around: Scopes): Node | undefined {
    if (type === undefined) return undefined;
    const node = this.#node(type, '', undefined, scope, around);
    around.set(scope, node);
    return node;
  }

  #node(type: FieldClass, name: string, parent: Node | undefined, scope: Scope, around: Scopes): Node {
    this.#meter.need(nodeBytes, 'fields of events');
    if (++this.#depth > deepest) throw this.#fail('fields too deep in each other', `at most ${deepest} levels`);
    const node = new Node(type.kind, name, type, parent);
    parent?.children.push(node);
    switch (type.kind) {
      case 'int':
      case 'float':
        node.align = type.align;
        node.size = type.size;
        node.little = type.little ?? this.#metadata.little;
        if (type.kind === 'int') this.#integer(node, type, scope);
        break;
      case 'varint':
        node.align = 8;
        this.#integer(node, type, scope);
        break;
      case 'string':
        node.align = 8;
        node.unit = unitOf(type.encoding);
        break;
      case 'struct': {
        node.align = type.align;
        for (const member of type.members) this.#node(member.class, member.name, node, scope, around);
        this.#measure(node);
        break;
      }
      case 'array': {
        if (typeof type.length === 'number') node.length = type.length;
        else node.by = this.#find(type.length, node, scope, around, 'a length');
        const element = this.#node(type.element, '', node, scope, around);
        node.align = Math.max(type.align, element.align);
        if (node.length >= 0 && element.fixed) node.size = arraySize(element, node.length);
        node.role = type.roles[0];
        if (node.role !== undefined) node.watch();
        break;
      }
      case 'variant': {
        if (type.selector === undefined) throw this.#fail('a variant that nothing selects', 'variant <field> { … }');
        node.by = this.#find(type.selector, node, scope, around, 'a selection');
        node.optional = type.optional;
        for (const option of type.options) {
          this.#node(option.class, option.name, node, scope, around);
          node.ranges.push(this.#ranges(option.ranges ?? labelsOf(node.by, option.name)));
        }
        if (
          type.options.length > 0 &&
          node.by.labels === undefined &&
          type.options.some(({ ranges }) => ranges === undefined)
        )
          throw this.#fail('a variant that a field without labels selects', 'an enumeration');
      }
    }
    this.#depth--;
    return node;
  }

  #integer(node: Node, type: FieldClass & { kind: 'int' | 'varint' }, scope: Scope): void {
    node.signed = type.signed;
    node.labels = type.labels;
    node.role = type.roles[0] ?? this.#impliedRole(node.name, type.clock, scope);
    if (node.role !== undefined) node.watch();
  }

  /** In CTF 1.8, names and clocks tell what a field of an event's header is for. */
  #impliedRole(name: string, clock: string | undefined, scope: Scope): Role | undefined {
    if (this.#metadata.major !== 1 || scope !== 'event header') return undefined;
    if (name === 'id') return 'event class';
    // Without a mapping, `timestamp` is on the only clock there is.
    return clock !== undefined || (name === 'timestamp' && this.#metadata.clocks.size <= 1) ? 'time' : undefined;
  }

  /** The size of a structure all of whose members are fixed, and its alignment. */
  #measure(node: Node): void {
    for (const child of node.children) node.align = Math.max(node.align, child.align);
    let size = 0;
    for (const child of node.children) {
      if (!child.fixed || size > 2 ** 30) {
        size = -1;
        break;
      }
      size = alignUp(size, child.align) + child.size;
    }
    if (size <= 2 ** 30) node.size = size;
  }

  #ranges(labels: readonly Label[]): Range[] {
    return labels.map((label) => ({ low: Number(label.low), high: Number(label.high), label }));
  }

  /** The integer that a length or a selection refers to. */
  #find(reference: Reference, from: Node, scope: Scope, around: Scopes, what: string): Node {
    const node = this.#search(reference, from, scope, around);
    const path = reference.path.join('.');
    if (node === undefined)
      throw this.#fail(`${what} by the field "${path}", which is not there before it`, 'a field before it');
    if (node.kind !== 'varint' && (node.kind !== 'int' || node.size > 64))
      throw this.#fail(`${what} by the field "${path}", which is no integer`, 'an integer of at most 64 bits');
    if (node.register < 0) {
      node.register = this.registers++;
      node.watch();
    }
    return node;
  }

  #search({ origin, path }: Reference, from: Node, scope: Scope, around: Scopes): Node | undefined {
    if (origin !== undefined) {
      let root = around.get(origin);
      if (origin === scope) for (root = from; root.parent !== undefined; root = root.parent) {}
      return root === undefined ? undefined : descend(root, path);
    }
    for (let node = from.parent; node !== undefined; node = node.parent) {
      const found = node.kind === 'struct' ? descend(node, path) : undefined;
      if (found !== undefined) return found;
    }
    for (const outer of scopes.slice(0, scopes.indexOf(scope)).reverse()) {
      const root = around.get(outer);
      const found = root === undefined ? undefined : descend(root, path);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** The field at a path in a structure, among those that are there so far. */
function descend(root: Node, path: readonly string[]): Node | undefined {
  let node: Node | undefined = root;
  for (const name of path) {
    if (node?.kind === 'variant' && node.optional) node = node.children[0];
    node = node?.children.find((child) => child.name === name);
  }
  return node;
}

/** The labels that select a TSDL variant's option: those of its name. Recorders put an underscore before some. */
function labelsOf(selector: Node, name: string): readonly Label[] {
  const labels = selector.labels ?? [];
  const same = labels.filter((label) => label.name === name);
  if (same.length > 0) return same;
  const bare = name.replace(/^_/, '');
  return labels.filter((label) => label.name.replace(/^_/, '') === bare);
}

function arraySize(element: Node, length: number): number {
  return length === 0 ? 0 : strideOf(element) * (length - 1) + element.size;
}

/** The distance of two elements of an array. */
export function strideOf(element: Node): number {
  return element.size > 2 ** 30 ? element.size + largestAlign : alignUp(element.size, element.align);
}

function unitOf(encoding: string): number {
  return encoding.startsWith('utf-16') ? 2 : encoding.startsWith('utf-32') ? 4 : 1;
}
