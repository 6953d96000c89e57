import assert from 'node:assert/strict';
import test from 'node:test';
import { shadeOnDark, shadeOnLight } from './color.ts';
import type { Rgb } from './terminal.ts';

/** Relative luminance, as WCAG 2.2 defines it. */
function luminance(color: Rgb): number {
  const [r, g, b] = color.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4)) as [
    number,
    number,
    number,
  ];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: Rgb, b: Rgb): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

test('a single span in a cell stands out from the paper, and so does any number', () => {
  assert.equal(contrast([0, 0, 0], [255, 255, 255]), 21);
  for (let share = 0; share <= 1; share += 1 / 64) {
    assert.ok(contrast(shadeOnLight(share), [255, 255, 255]) >= 3, `on white ${share}`);
    // The page's card in the dark, and terminals that are not quite black.
    for (const dark of [
      [0, 0, 0],
      [0x1b, 0x1d, 0x23],
      [0x1e, 0x1e, 0x1e],
    ] as Rgb[]) {
      assert.ok(contrast(shadeOnDark(share), dark) >= 3, `on ${dark} ${share}`);
    }
  }
});
