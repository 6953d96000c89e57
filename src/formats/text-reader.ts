import type { EventBatch } from '../trace/batch.ts';
import type { FieldReader, TextBytes } from '../trace/event-type.ts';

/** A field that is no number, only a text. */
export abstract class NoNumber implements FieldReader {
  readonly kind = 'text';

  number(): number {
    return Number.NaN;
  }

  low(): number {
    return 0;
  }

  high(): number {
    return 0;
  }

  abstract text(b: EventBatch, i: number): string;
}

/** A text whose bytes lie in the payload, where `find` says. */
export abstract class TextReader extends NoNumber implements TextBytes {
  readonly bytes: TextBytes | undefined = this;
  start = 0;
  end = 0;

  text(b: EventBatch, i: number): string {
    return this.find(b, i) ? decodeText(b.bytes, this.start, this.end) : '';
  }

  abstract find(b: EventBatch, i: number): boolean;
}

/** Bytes as a string. Short ASCII, which nearly everything is, without a call out of JavaScript. */
export function decodeText(bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= 16) {
    let text = '';
    let p = start;
    for (; p < end; p++) {
      const c = bytes[p] as number;
      if (c > 0x7f) break;
      text += String.fromCharCode(c);
    }
    if (p >= end) return text;
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
}
