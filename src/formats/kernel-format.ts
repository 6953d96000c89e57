import type { Field } from '../trace/event-type.ts';
import { groups } from '../trace/groups.ts';

/** A field of a kernel event, as its `format` file declares it. Offsets count from the event's common_type. */
export type KernelField = Field & {
  offset: number;
  size: number;
  signed: boolean;
  /** `int`, `string` (char array), `dynamic string` (__data_loc char[]), `relative string` (__rel_loc), or `bytes` for other arrays. */
  kind: 'int' | 'string' | 'dynamic string' | 'relative string' | 'bytes';
};

/** One event's `format` file (Documentation/trace/events.rst). */
export type KernelFormat = {
  name: string;
  id: number;
  /** All fields, the common ones first. */
  readonly fields: readonly KernelField[];
  /** The text after `print fmt: `. */
  printFormat: string;
};

/**
 * Parses the text of a `format` file, as many of its fields as there is `room` for: when they are asked for, since a recording describes many
 * events that it has none of. Returns undefined where it is not one.
 */
export function parseKernelFormat(text: string, room: () => boolean = () => true): KernelFormat | undefined {
  const name = /^name: (.+)$/m.exec(text)?.[1];
  const id = /^ID: (\d+)$/m.exec(text)?.[1];
  if (name === undefined || id === undefined) return undefined;
  const print = text.indexOf('print fmt: ');
  let fields: readonly KernelField[] | undefined;
  return {
    name,
    id: Number(id),
    get fields() {
      fields ??= parseFields(text, room);
      return fields;
    },
    printFormat: print < 0 ? '' : text.slice(print + 11).trim(),
  };
}

function parseFields(text: string, room: () => boolean): KernelField[] {
  const fields: KernelField[] = [];
  for (const match of text.matchAll(/^\tfield:(.+?);\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:(\d);)?/gm)) {
    const [, declaration, offset, size, signed] = groups<[string, string, string, string, string | undefined]>(match);
    const split = splitDeclaration(declaration.trim());
    if (split === undefined) continue;
    if (!room()) break;
    const [type, fieldName, array] = split;
    const declared = `${type.trim()}${array}`;
    const bytes = Number(size);
    let kind: KernelField['kind'] = 'bytes';
    if (/^__rel_loc\b/.test(declared)) kind = /\bchar\b/.test(declared) ? 'relative string' : 'bytes';
    else if (/^__data_loc\b/.test(declared)) kind = /\bchar\b/.test(declared) ? 'dynamic string' : 'bytes';
    else if (array !== '') kind = /\bchar\b/.test(type) ? 'string' : 'bytes';
    else if (bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8) kind = 'int';
    else if (bytes === 0 && /\bchar\b/.test(type)) kind = 'string';
    fields.push({ name: fieldName, declared, offset: Number(offset), size: bytes, signed: signed === '1', kind });
  }
  return fields;
}

/** Splits `char comm[16]` into type, name and array. By hand: a regular expression would take quadratic time on a hostile one. */
function splitDeclaration(declaration: string): [type: string, name: string, array: string] | undefined {
  let arrayAt = declaration.length;
  while (declaration[arrayAt - 1] === ']') {
    const bracket = declaration.lastIndexOf('[', arrayAt - 1);
    if (bracket < 0) return undefined;
    arrayAt = bracket;
  }
  let nameAt = arrayAt;
  while (nameAt > 0 && /\w/.test(declaration[nameAt - 1] as string)) nameAt--;
  const name = declaration.slice(nameAt, arrayAt);
  return /^[A-Za-z_]/.test(name) ? [declaration.slice(0, nameAt), name, declaration.slice(arrayAt)] : undefined;
}
