import type { Rgb } from './terminal.ts';

/** Matplotlib's viridis at even steps, without its darkest: equal steps look equal, also without colour vision. */
const viridis: readonly Rgb[] = [
  [72, 36, 117],
  [65, 68, 135],
  [53, 95, 141],
  [42, 120, 142],
  [33, 145, 140],
  [34, 168, 132],
  [68, 191, 112],
  [122, 209, 81],
  [189, 223, 38],
  [253, 231, 37],
];

/** The colour of a share of the scale, from 0 (dark) to 1 (bright). */
function shade(share: number): Rgb {
  const at = Math.min(1, Math.max(0, share)) * (viridis.length - 1);
  const low = viridis[Math.floor(at)] as Rgb;
  const high = viridis[Math.ceil(at)] as Rgb;
  const part = at - Math.floor(at);
  const mixed = (i: 0 | 1 | 2) => Math.round(low[i] + (high[i] - low[i]) * part);
  return [mixed(0), mixed(1), mixed(2)];
}

/** The same on white: much is dark, and a single one has a contrast of 3 to 1 with the paper, as WCAG 2.2 asks of pictures (1.4.11). */
export function shadeOnLight(share: number): Rgb {
  return shade(0.54 * (1 - share));
}

/** The same on black and near it, from which a single one has to stand out as much. */
export function shadeOnDark(share: number): Rgb {
  return shade(0.3 + 0.7 * share);
}

/** Where a count stands on a logarithmic scale, from 0 (one) to 1 (the most). */
export function level(n: number, most: number): number {
  return most <= 1 ? 1 : Math.log(n) / Math.log(most);
}

/** `#rrggbb`. */
export function hexColor(color: Rgb): string {
  return `#${color.map((c) => Math.round(c).toString(16).padStart(2, '0')).join('')}`;
}
