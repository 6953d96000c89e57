import assert from 'node:assert/strict';
import test from 'node:test';
import type { Heat } from '../views/heatmap.ts';
import { heatmapText } from './heatmap-text.ts';
import { displayWidth, Terminal } from './terminal.ts';

function terminal(columns: number, color: boolean, env: Record<string, string> = { LANG: 'C.UTF-8' }): Terminal {
  const depth = color ? { COLORTERM: 'truecolor', FORCE_COLOR: '3' } : {};
  return new Terminal({ isTTY: true, columns, env: { ...env, ...depth }, color: color ? 'always' : 'never' });
}

/** Four time bins of 1 ms; latencies 4–8, 8–16, 16–32 µs. */
const heat: Heat = {
  from: 0,
  step: 1e6,
  edges: [4e3, 8e3, 16e3, 32e3],
  counts: [
    [0, 1, 0],
    [0, 100, 0],
    [0, 0, 10],
    [1000, 0, 0],
  ],
  total: 1111,
};

test('glyphs, axes and legend without colours', () => {
  assert.equal(
    heatmapText(heat, terminal(50, false), 'ns'),
    [
      '        │                    ==========          ',
      '  10 µs ┤..........##########                    ',
      '        │                              @@@@@@@@@@',
      '        └┬───────────────────┬───────────────────',
      '         0 s                 2 ms',
      '         per cell: . 1  : 3  - 5  = 10  + 22  * 47  # 100  % 216  @ 465',
      '',
    ].join('\n'),
  );
});

test('where the clock counts cycles, times are in cycles from the first on', () => {
  const axis = heatmapText(heat, terminal(50, false), 'cycles').split('\n').at(-3);
  assert.equal(axis, '         0 cyc               2 Mcyc');
});

test('half blocks and colours: two rows of the picture in a line', () => {
  const colored = terminal(50, true);
  const [upper, lower] = colored.text(heatmapText(heat, colored, 'ns')).split('\n');
  // 1 of at most 1000 is at three tenths of the colours, so that it stands out; 10 is a third of the way from there, on the logarithmic scale.
  assert.equal(upper, `        │${' '.repeat(20)}\x1b[38;2;34;163;134m${'▄'.repeat(10)}\x1b[0m${' '.repeat(10)}`);
  assert.equal(
    lower,
    `  10 µs ┤\x1b[38;2;45;113;142m${'▀'.repeat(10)}\x1b[0m\x1b[38;2;117;207;84m${'▀'.repeat(10)}\x1b[0m${' '.repeat(10)}` +
      `\x1b[38;2;253;231;37m${'▄'.repeat(10)}\x1b[0m`,
  );
});

test('it fits terminals of any width, and every exit is drawn', () => {
  const counts = Array.from({ length: 777 }, (_, t) => Array.from({ length: 130 }, (_, l) => (t * 31 + l * 7) % 5));
  const edges = Array.from({ length: 131 }, (_, l) => Math.round(100 * 1.1 ** l));
  const large: Heat = { from: 0, step: 2 ** 24, edges, counts, total: 1 };
  for (const width of [30, 80, 81, 132, 200, 1000]) {
    for (const color of [true, false]) {
      const lines = heatmapText(large, terminal(width, color), 'ns').trimEnd().split('\n');
      const picture = lines.slice(0, -1);
      for (const line of picture) assert.ok(displayWidth(line) <= width, `${displayWidth(line)} of ${width}`);
      assert.ok(picture.length <= 22);
      if (width >= 80) assert.ok(picture.filter((line) => line.includes('┤')).length >= 4, 'latencies are named');
      if (width >= 80) assert.ok((picture.at(-2)?.match(/┬/g) ?? []).length >= 2, 'times are named');
    }
  }
});

test('a single exit is a picture too', () => {
  const one: Heat = { from: 5, step: 16384, edges: [1000, 1024], counts: [[1]], total: 1 };
  assert.match(heatmapText(one, terminal(80, false), 'ns'), /1 µs ┤@+\n/);
});

test('a map of nothing says so', () => {
  const none: Heat = { from: 0, step: 1, edges: [], counts: [], total: 0 };
  assert.equal(heatmapText(none, terminal(80, false), 'ns'), 'Nothing to draw.\n');
});
