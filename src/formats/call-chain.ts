import type { EventBatch } from '../trace/batch.ts';
import type { Field, FieldReader, Layout } from '../trace/event-type.ts';

/** A type of events with call chains, whose reader gives a frame a line: `ffffffff821f8298 __schedule+0x618 ([kernel.kallsyms])`. */
export class ChainedLayout implements Layout {
  readonly chain: FieldReader;
  readonly inner: Layout;

  /** `chain` finds an event's chain; `inner` lays out the rest. */
  constructor(inner: Layout, chain: (b: EventBatch, i: number) => string) {
    this.inner = inner;
    this.chain = { kind: 'text', number: () => Number.NaN, low: () => 0, high: () => 0, text: chain };
  }

  get fields(): readonly Field[] {
    return this.inner.fields;
  }

  reader(name: string): FieldReader | undefined {
    return this.inner.reader(name);
  }

  print(b: EventBatch, i: number): string {
    return this.inner.print(b, i);
  }
}

const newline = 0x0a;

/** A line of text with its call chain in further lines behind it: `inner` sees the first alone. */
export class ChainedText implements Layout {
  readonly #inner: Layout;

  constructor(inner: Layout) {
    this.#inner = inner;
  }

  readonly chain: FieldReader = {
    kind: 'text',
    number: () => Number.NaN,
    low: () => 0,
    high: () => 0,
    text: (b, i) => {
      const [at, size] = [b.at[i] as number, b.size[i] as number];
      const from = at + lineLength(b, i) + 1;
      return from > at + size
        ? ''
        : Buffer.from(b.bytes.buffer, b.bytes.byteOffset + from, at + size - from).toString();
    },
  };

  get fields(): readonly Field[] {
    return this.#inner.fields;
  }

  reader(name: string): FieldReader | undefined {
    const inner = this.#inner.reader(name);
    return inner && new FirstLine(inner);
  }

  print(b: EventBatch, i: number): string {
    return onFirstLine(b, i, () => this.#inner.print(b, i));
  }
}

/** How long the event's own line is, in its payload. */
function lineLength(b: EventBatch, i: number): number {
  const at = b.at[i] as number;
  const end = at + (b.size[i] as number);
  let p = at;
  while (p < end && b.bytes[p] !== newline) p++;
  return p - at;
}

/** Calls with the payload cut to its first line. */
function onFirstLine<T>(b: EventBatch, i: number, call: () => T): T {
  const size = b.size[i] as number;
  b.size[i] = lineLength(b, i);
  try {
    return call();
  } finally {
    b.size[i] = size;
  }
}

class FirstLine implements FieldReader {
  readonly kind: FieldReader['kind'];
  readonly bytes: FieldReader['bytes'];
  readonly #inner: FieldReader;

  constructor(inner: FieldReader) {
    this.#inner = inner;
    this.kind = inner.kind;
    const { bytes } = inner;
    this.bytes = bytes && {
      get start() {
        return bytes.start;
      },
      get end() {
        return bytes.end;
      },
      find: (b, i) => onFirstLine(b, i, () => bytes.find(b, i)),
    };
  }

  number(b: EventBatch, i: number): number {
    return onFirstLine(b, i, () => this.#inner.number(b, i));
  }
  low(b: EventBatch, i: number): number {
    return onFirstLine(b, i, () => this.#inner.low(b, i));
  }
  high(b: EventBatch, i: number): number {
    return onFirstLine(b, i, () => this.#inner.high(b, i));
  }
  text(b: EventBatch, i: number): string {
    return onFirstLine(b, i, () => this.#inner.text(b, i));
  }
}
