import type { Meter } from '../../trace/budget.ts';
import { TraceError } from '../../trace/error.ts';
import type { Metadata } from './classes.ts';
import { type Fragment, parseCtf2 } from './ctf2.ts';
import { parseTsdl } from './tsdl.ts';

/** Magic number of a metadata packet, and the size of its header (CTF 1.8, 7.1). */
const packetMagic = 0x75d11d57;
const packetHeader = 37;
const recordSeparator = 0x1e;

/** Reads the metadata of a trace: TSDL or JSON, plain or in packets. */
export function parseMetadata(bytes: Uint8Array, file: string, meter: Meter): Metadata {
  meter.part(bytes.length, 'metadata', 0);
  const { text, pieces } = unpack(bytes, file);
  /** The error for a byte of the text. */
  const fail = (problem: string, at: number, expected: string) => {
    const piece = pieces.findLast(({ from }) => from <= at) ?? { from: 0, offset: 0 };
    return new TraceError(file, problem, piece.offset + at - piece.from, expected);
  };
  if (text.length === 0) throw new TraceError(file, 'the metadata are empty', 0, 'the declarations of a CTF trace');
  const first = text.find((byte) => byte > 0x20 || byte === recordSeparator);
  if (first === recordSeparator || first === 0x7b) return parseCtf2(fragmentsOf(text), meter, fail);
  const source = Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8');
  return parseTsdl(source, meter, (problem, at, expected) =>
    fail(problem, Buffer.byteLength(source.slice(0, at)), expected),
  );
}

/** The text of the metadata, and where in the file its pieces are. */
function unpack(bytes: Uint8Array, file: string): { text: Uint8Array; pieces: { from: number; offset: number }[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const little = bytes.length >= 4 && view.getUint32(0, true) === packetMagic;
  if (!little && !(bytes.length >= 4 && view.getUint32(0, false) === packetMagic))
    return { text: bytes, pieces: [{ from: 0, offset: 0 }] };
  const parts: Uint8Array[] = [];
  const pieces: { from: number; offset: number }[] = [];
  let from = 0;
  for (let at = 0; at < bytes.length; ) {
    if (at + packetHeader > bytes.length)
      throw new TraceError(
        file,
        `${bytes.length - at} bytes are left`,
        at,
        `a metadata packet's header, ${packetHeader} bytes`,
      );
    if (view.getUint32(at, little) !== packetMagic)
      throw new TraceError(file, 'no magic number', at, 'a metadata packet, 0x75d11d57');
    const content = view.getUint32(at + 24, little) / 8;
    const size = view.getUint32(at + 28, little) / 8;
    const [compression, encryption, checksum] = [bytes[at + 32], bytes[at + 33], bytes[at + 34]];
    if (compression !== 0 || encryption !== 0 || checksum !== 0)
      throw new TraceError(
        file,
        'metadata that are compressed, encrypted or have a checksum',
        at + 32,
        'plain packets',
      );
    if (!(content >= packetHeader && content <= size && at + content <= bytes.length && Number.isInteger(size)))
      throw new TraceError(file, `a metadata packet of ${size} bytes, ${content} of them used`, at + 24, `what fits`);
    parts.push(bytes.subarray(at + packetHeader, at + Math.floor(content)));
    pieces.push({ from, offset: at + packetHeader });
    from += Math.floor(content) - packetHeader;
    at += size;
  }
  return { text: Buffer.concat(parts), pieces };
}

/** The JSON texts of CTF 2; also where they stand one after the other without separators. */
function* fragmentsOf(text: Uint8Array): Generator<Fragment> {
  const { buffer, byteOffset } = text;
  const piece = (from: number, to: number): Fragment => ({
    text: Buffer.from(buffer, byteOffset + from, to - from).toString('utf8'),
    at: from,
  });
  if (text.indexOf(recordSeparator) >= 0) {
    for (let from = 0; from < text.length; ) {
      const next = text.indexOf(recordSeparator, from);
      const to = next < 0 ? text.length : next;
      const one = piece(from, to);
      if (one.text.trim() !== '') yield one;
      from = to + 1;
    }
    return;
  }
  let depth = 0;
  let from = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const byte = text[i];
    if (quoted) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) quoted = false;
    } else if (byte === 0x22) quoted = true;
    else if (byte === 0x7b) depth++;
    else if (byte === 0x7d && --depth === 0) {
      yield piece(from, i + 1);
      from = i + 1;
    }
  }
  const rest = piece(from, text.length);
  if (rest.text.trim() !== '') yield rest;
}
