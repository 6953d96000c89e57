import type { Signature } from '../formats/trace-events.ts';
import { isExit } from '../spans/exit-events.ts';
import type { EventType } from '../trace/event-type.ts';
import { addVersion, type KnownEvents, type KnownField, kindOf, knownEvents, qemuFields } from './field-kind.ts';

/*
 * Declarations of events for TypeScript, from their fields. Names come from traces: what is no plain name is quoted, and nothing of a
 * trace gets into a comment as it is.
 */

const types: Record<KnownField['kind'], string> = {
  number: 'number',
  hex: 'Hex',
  text: 'string',
  word: 'number | string',
};

/** The members of an interface of events, one event a line: `'qemu:virtqueue_pop': { readonly vq: Hex; … };`. */
function declareEvents(events: KnownEvents): string {
  return [...events]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, fields]) => `${comment(fields)}  ${quoted(name)}: ${fieldsType(fields)};\n`)
    .join('');
}

/** What the arguments were declared as where the events come from. */
function comment(fields: ReadonlyMap<string, KnownField>): string {
  const declared = [...fields].filter(([, field]) => field.declared !== '');
  if (declared.length === 0) return '';
  const text = declared.map(([name, field]) => joined(field.declared, name)).join(', ');
  return `  /** ${plain(text)} */\n`;
}

/** Text that can stand in a comment. */
function plain(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').replaceAll('*/', '* /');
}

/** A C declaration: `void *vq`, `char comm[16]`. */
function joined(declared: string, name: string): string {
  const array = declared.indexOf('[');
  if (array >= 0 && !declared.startsWith('__')) return `${declared.slice(0, array)} ${name}${declared.slice(array)}`;
  return declared.endsWith('*') ? `${declared}${name}` : `${declared} ${name}`;
}

function fieldsType(fields: ReadonlyMap<string, KnownField>): string {
  if (fields.size === 0) return 'Record<string, never>';
  const members = [...fields].map(
    ([name, { kind, optional }]) =>
      `readonly ${/^[A-Za-z_]\w*$/.test(name) ? name : quoted(name)}${optional ? '?' : ''}: ${types[kind]}`,
  );
  return `{ ${members.join('; ')} }`;
}

function quoted(name: string): string {
  return `'${name.replace(/[^\x20-\x7e]|['\\]/g, (c) => `\\u{${(c.codePointAt(0) as number).toString(16)}}`)}'`;
}

/** The fields of the events of a trace, or of a kernel. Where two types have one name, what only one has is optional. */
export function fieldsOfTypes(types: Iterable<EventType>): KnownEvents {
  const events = new Map<string, Map<string, KnownField>>();
  for (const type of types) {
    const fields = new Map<string, KnownField>();
    for (const field of type.fields) {
      fields.set(field.name, { kind: kindOf(type, field), optional: false, declared: field.declared });
    }
    if (isExit(type)) fields.set('reason', { kind: 'text', optional: false, declared: '' });
    const before = events.get(type.name);
    if (before === undefined) events.set(type.name, fields);
    else addVersion(before, fields);
  }
  return events;
}

/** The fields of the events of a trace-events-all. */
export function fieldsOfSignatures(signatures: Iterable<Signature>): KnownEvents {
  return new Map([...signatures].map((signature) => [`qemu:${signature.name}`, qemuFields(signature)]));
}

/** Of these events, those that virtap does not know, or knows otherwise. */
export function unknownOf(events: KnownEvents): KnownEvents {
  const known = knownEvents();
  return new Map(
    [...events].filter(([name, fields]) => {
      const own = known.get(name);
      return own === undefined || [...fields].some(([field, { kind }]) => own.get(field)?.kind !== kind);
    }),
  );
}

/** The file that `virtap types` writes: declarations for editors. */
export function eventsFile(events: KnownEvents, of: string): string {
  const heading = `// Events of ${plain(of)}, for the scripts of virtap. Written by virtap types.\n`;
  if (events.size === 0) return `${heading}// virtap/script knows all of them of itself.\nexport {};\n`;
  return `${heading}// Left out is what virtap/script knows of itself.
import type { Hex } from 'virtap/script';

declare module 'virtap/script' {
  interface Events {
${declareEvents(events).replace(/^/gm, '  ').trimEnd()}
  }
}
`;
}

/** The file of the events that virtap knows: src/script/known-events.ts. */
export function knownEventsFile(events: KnownEvents): string {
  return `// biome-ignore-all format: one event a line
import type { Hex } from '../spans/kind.ts';

/**
 * The arguments of the events that virtap knows, by the events' full names: what known-kernel.ts and QEMU's signatures say. Written by
 * \`UPDATE_TYPES=1 npm test src/script/declare.test.ts\`.
 */
export interface KnownEvents {
${declareEvents(events)}}
`;
}
