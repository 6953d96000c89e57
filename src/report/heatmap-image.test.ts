import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32, inflateSync } from 'node:zlib';
import { HeatMap } from '../views/heatmap.ts';
import { heatmapImage } from './heatmap-image.ts';
import { png } from './png.ts';
import { svg } from './svg.ts';

const map = new HeatMap();
map.start(0);
for (let n = 0; n < 2000; n++) map.add(n * 1e6, 1000 + (n % 50) * 300);
const heat = map.result();
const image = heatmapImage(heat, { title: '<b>&"x\u202e', unit: 'ns', noun: 'exits', what: 'VM exits' });

/** The pixels of a PNG without filters, read by the book; each chunk's checksum is checked. */
function pixels(bytes: Uint8Array): { width: number; height: number; rgb: (x: number, y: number) => number[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  assert.deepEqual([...bytes.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);
  const data: Uint8Array[] = [];
  const types: string[] = [];
  let at = 8;
  while (at < bytes.length) {
    const length = view.getUint32(at);
    const type = Buffer.from(bytes.subarray(at + 4, at + 8)).toString('latin1');
    types.push(type);
    assert.equal(view.getUint32(at + 8 + length), crc32(bytes.subarray(at + 4, at + 8 + length)));
    if (type === 'IDAT') data.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  assert.equal(types[0], 'IHDR');
  assert.equal(types.at(-1), 'IEND');
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const rows = inflateSync(Buffer.concat(data));
  assert.equal(rows.length, (1 + 3 * width) * height);
  return {
    width,
    height,
    rgb: (x, y) => [...rows.subarray(y * (1 + 3 * width) + 1 + 3 * x, y * (1 + 3 * width) + 4 + 3 * x)],
  };
}

test('a PNG has the pixels of the drawing', () => {
  const { width, height, rgb } = pixels(png(image));
  assert.deepEqual([width, height], [image.width, image.height]);
  // Where a rectangle is not written or drawn over, its colour shows.
  let checked = 0;
  image.rects.forEach(({ x, y, color }, n) => {
    const covered = image.rects
      .slice(n + 1)
      .some((r) => x >= r.x && x < r.x + r.width && y >= r.y && y < r.y + r.height);
    const written = image.texts.some((text) => Math.abs(text.y - y) < 40 && Math.abs(text.x - x) < 400);
    if (covered || written) return;
    checked++;
    assert.deepEqual(rgb(x, y), [...color]);
  });
  assert.ok(checked > 20);
});

test('an SVG is well-formed, and text in it stays text', () => {
  const text = svg(image);
  assert.match(text, /<title>&lt;b&gt;&amp;&quot;x/);
  assert.ok(!text.includes('<b>') && !text.includes('\u202e'));
  // Every element that is opened is closed, in order.
  const open: string[] = [];
  for (const [, end, name, empty] of text.matchAll(/<(\/?)([\w]+)(?:\s[^<>]*?)?(\/?)>/g)) {
    if (end === '/') assert.equal(open.pop(), name);
    else if (empty !== '/') open.push(name as string);
  }
  assert.deepEqual(open, []);
});
