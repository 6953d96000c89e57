import type { KnownEvents, KnownField } from './field-kind.ts';

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
export function declareEvents(events: KnownEvents): string {
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
  return `  /** ${text.replace(/[^\x20-\x7e]/g, '?').replaceAll('*/', '* /')} */\n`;
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

/** The file of the events that virtap knows: src/script/known-events.ts. */
export function knownEventsFile(events: KnownEvents): string {
  return `// biome-ignore-all format: one event a line
import type { Hex } from './analyzer.ts';

/**
 * The arguments of the events that virtap knows, by the events' full names: what known-kernel.ts and QEMU's signatures say. Written by
 * \`UPDATE_TYPES=1 npm test src/script/declare.test.ts\`.
 */
export interface KnownEvents {
${declareEvents(events)}}
`;
}
