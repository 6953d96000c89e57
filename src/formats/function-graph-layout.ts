import type { EventBatch } from '../trace/batch.ts';
import type { Field, FieldReader, Layout } from '../trace/event-type.ts';
import { decodeText } from './text-reader.ts';

/*
 * A function that was entered or left, as the function_graph tracer and trace-cmd report print it: `0.701 us    |    func();`, `func() {`,
 * `12.3 us |  } /* func *\/`.
 */

const form =
  /^(?:[$@*#!+ ]? {0,20}(\d{1,14})(?:\.(\d{1,3})\d?)? us)?[ |]*(?:\} ?(?:\/\* (.*?)(?: ret=.*)? \*\/)?|([^(]*)\(.*)$/;
/** Payloads are looked at only so far. */
const longest = 1024;

export class FunctionGraphLayout implements Layout {
  readonly fields: readonly Field[] = [
    { name: 'func', declared: '' },
    { name: 'duration', declared: '' },
  ];

  begins(bytes: Uint8Array, from: number, to: number): boolean {
    return form.test(decodeText(bytes, from, Math.min(to, from + longest)));
  }

  reader(name: string): FieldReader | undefined {
    if (name === 'func') return new Reader('text', (match) => match[3] ?? match[4] ?? '');
    if (name === 'duration') return new Reader('int', nanoseconds);
    return undefined;
  }

  print(b: EventBatch, i: number): string {
    return textOf(b, i)
      .replace(/^\|\s*/, '')
      .replace(/ {2,}\|/, ' |');
  }
}

function textOf(b: EventBatch, i: number): string {
  const at = b.at[i] as number;
  return decodeText(b.bytes, at, at + Math.min(b.size[i] as number, longest));
}

/** The function's duration in ns; '' where the line has none. */
function nanoseconds(match: RegExpExecArray): string {
  const [, whole, part = ''] = match;
  return whole === undefined ? '' : String(Number(whole) * 1000 + Number(part.padEnd(3, '0')));
}

class Reader implements FieldReader {
  readonly kind: 'int' | 'text';
  readonly #value: (match: RegExpExecArray) => string;

  constructor(kind: 'int' | 'text', value: (match: RegExpExecArray) => string) {
    this.kind = kind;
    this.#value = value;
  }

  text(b: EventBatch, i: number): string {
    const match = form.exec(textOf(b, i));
    return match === null ? '' : this.#value(match);
  }

  number(b: EventBatch, i: number): number {
    const text = this.kind === 'int' ? this.text(b, i) : '';
    return text === '' ? Number.NaN : Number(text);
  }

  low(b: EventBatch, i: number): number {
    return (this.number(b, i) || 0) % 0x100000000;
  }

  high(b: EventBatch, i: number): number {
    return Math.floor((this.number(b, i) || 0) / 0x100000000);
  }
}
