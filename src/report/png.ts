import { crc32, deflateSync } from 'node:zlib';
import type { Drawing, DrawnText } from './drawing.ts';
import { glyphAscent, glyphHeight, glyphOf } from './glyphs.ts';

/** A drawing as PNG (W3C Portable Network Graphics): eight bits a colour, no interlace. */
export function png(drawing: Drawing): Uint8Array {
  const { width, height, background, rects, texts } = drawing;
  // Each row begins with the number of its filter: 0, none.
  const stride = 1 + 3 * width;
  const rows = new Uint8Array(stride * height);
  const paint = (x: number, y: number, color: readonly number[], part: number) => {
    if (x < 0 || x >= width || y < 0 || y >= height) return;
    const at = y * stride + 1 + 3 * x;
    for (let c = 0; c < 3; c++) {
      const under = rows[at + c] as number;
      rows[at + c] = under + ((color[c] as number) - under) * part;
    }
  };
  for (const { x, y, width: w, height: h, color } of [{ x: 0, y: 0, width, height, color: background }, ...rects]) {
    for (let row = y; row < y + h; row++) for (let column = x; column < x + w; column++) paint(column, row, color, 1);
  }
  for (const text of texts) drawText(text, paint);

  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  // Bits a colour, and that colours are red, green, blue.
  header.setUint8(8, 8);
  header.setUint8(9, 2);
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  return Buffer.concat([
    signature,
    chunk('IHDR', new Uint8Array(header.buffer)),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', new Uint8Array(0)),
  ]);
}

function drawText(
  { x, y, text, anchor, color }: DrawnText,
  paint: (x: number, y: number, color: readonly number[], part: number) => void,
): void {
  const glyphs = [...text].map(glyphOf);
  const length = glyphs.reduce((sum, { width }) => sum + width, 0);
  let left = Math.round(x - (anchor === 'end' ? length : anchor === 'middle' ? length / 2 : 0));
  const top = Math.round(y) - glyphAscent;
  for (const { width, coverage } of glyphs) {
    for (let row = 0; row < glyphHeight; row++) {
      for (let column = 0; column < width; column++) {
        const part = (coverage[row * width + column] as number) / 15;
        if (part > 0) paint(left + column, top + row, color, part);
      }
    }
    left += width;
  }
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}
