import { ChainedLayout } from '../formats/call-chain.ts';
import { KernelLayout } from '../formats/kernel-layout.ts';
import { builtInSignatures } from '../formats/qemu-signatures.ts';
import { parseTraceEvents, type Signature } from '../formats/trace-events.ts';
import type { EventType, Field } from '../trace/event-type.ts';
import { groups } from '../trace/groups.ts';
import { knownKernelEvents } from './known-kernel.ts';

/**
 * What a script gets for a field: `number`; `hex`, 64 bits as `0x…`; `text`; `word`, which is a number in binary traces and
 * a word in text traces.
 */
export type Kind = 'number' | 'hex' | 'text' | 'word';

/** A field of an event that is known out of the box. */
export type KnownField = {
  kind: Kind;
  /** Not in every version of the event. */
  optional: boolean;
  /** Its C type, where known. */
  declared: string;
};

export type KnownEvents = ReadonlyMap<string, ReadonlyMap<string, KnownField>>;

const suffixes: Record<string, Kind> = { x: 'hex', s: 'text', w: 'word' };

let known: KnownEvents | undefined;

/** Every event that is known out of the box, by its full name, with its fields. */
export function knownEvents(): KnownEvents {
  if (known !== undefined) return known;
  const events = new Map<string, Map<string, KnownField>>();
  for (const line of knownKernelEvents.trim().split('\n')) {
    const [name, ...fields] = line.split(' ') as [string, ...string[]];
    const found = new Map<string, KnownField>();
    for (const field of fields) {
      const [, own, suffix = '', optional] = groups<[string, string, string?, string?]>(
        /^(\w+)(?::(\w))?(\?)?$/.exec(field) as RegExpExecArray,
      );
      found.set(own, { kind: suffixes[suffix] ?? 'number', optional: optional !== undefined, declared: '' });
    }
    events.set(name, found);
  }
  for (const signature of parseTraceEvents(Buffer.from(builtInSignatures), 'built-in signatures')) {
    const name = `qemu:${signature.name}`;
    const fields = qemuFields(signature);
    const before = events.get(name);
    if (before === undefined) events.set(name, fields);
    else addVersion(before, fields);
  }
  known = events;
  return events;
}

/** Adds another version of an event: what only one of them has is optional. */
export function addVersion(before: Map<string, KnownField>, fields: ReadonlyMap<string, KnownField>): void {
  for (const [field, what] of before) if (!fields.has(field)) what.optional = true;
  for (const [field, what] of fields) if (!before.has(field)) before.set(field, { ...what, optional: true });
}

/** The fields of a QEMU event, by its signature. */
export function qemuFields(signature: Signature): Map<string, KnownField> {
  const fields = new Map<string, KnownField>();
  for (const { name, declared, kind, bits, base } of signature.args) {
    const own: Kind = kind === 'text' ? 'text' : bits === 64 && base === 'hex' ? 'hex' : 'number';
    fields.set(name, { kind: own, optional: false, declared });
  }
  return fields;
}

/** What a script gets for a field of an event type: the same whichever format carries the event, where it is known. */
export function kindOf(type: EventType, field: Field): Kind {
  const reader = type.reader(field.name);
  const what = knownEvents().get(type.name)?.get(field.name)?.kind;
  if (reader?.kind === 'text') return what === 'word' ? 'word' : 'text';
  if (what !== undefined) return what === 'text' ? 'number' : what;
  if ('bits' in field) return field.bits === 64 && 'base' in field && field.base === 'hex' ? 'hex' : 'number';
  if (/\*\s*$/.test(field.declared)) return 'hex';
  const layout = type.layout instanceof ChainedLayout ? type.layout.inner : type.layout;
  if (layout instanceof KernelLayout) {
    const { fields, format } = layout;
    const own = fields.find(({ name }) => name === field.name);
    if (own === undefined || own.size < 8 || own.signed || narrow(own) !== undefined) return 'number';
    return printedInHex(format.printFormat, field.name) ? 'hex' : 'number';
  }
  // Text declares nothing: what is printed with 0x is hexadecimal.
  return 'number';
}

/** The sign of a field of at most 32 bits by its C type, whatever carries it: system calls pass such in 64. Undefined for others. */
export function narrow({ declared }: Field): 'signed' | 'unsigned' | undefined {
  if (/^(const )?unsigned (int|short|char)$|^(umode_t|uint(8|16|32)_t|u(8|16|32))$/.test(declared)) return 'unsigned';
  return /^(const )?(int|short|char)$|^(pid_t|int(8|16|32)_t|s(8|16|32))$/.test(declared) ? 'signed' : undefined;
}

/** Whether a kernel event prints an integer field in hexadecimal, or not at all (then it is taken as bits). */
function printedInHex(printFormat: string, field: string): boolean {
  const format = /^"((?:[^"\\]|\\.)*)"/.exec(printFormat);
  if (format === null) return true;
  const conversions = (format[1] as string)
    .matchAll(/%[-+ #0-9.]*(?:hh|h|ll|l|L|z)?([a-zA-Z])/g)
    .map(([, c]) => c)
    .toArray();
  const index = argumentsOf(printFormat.slice(format[0].length)).findIndex((text) => mentions(text, field));
  return index < 0 || /[xXp]/.test(conversions[index] ?? 'x');
}

/** The arguments behind a print format: what stands between the commas at the outermost level. */
function argumentsOf(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let from = -1;
  for (let at = 0; at <= text.length; at++) {
    const c = text[at];
    if (c === '(' || c === '[' || c === '{') depth++;
    else if (c === ')' || c === ']' || c === '}') depth--;
    if ((c === ',' && depth === 0) || at === text.length) {
      if (from >= 0) found.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return found;
}

function mentions(text: string, field: string): boolean {
  for (let at = text.indexOf(`REC->${field}`); at >= 0; at = text.indexOf(`REC->${field}`, at + 1)) {
    if (!/\w/.test(text[at + 5 + field.length] ?? '')) return true;
  }
  return false;
}
