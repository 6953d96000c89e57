import type { Heat } from '../views/heatmap.ts';
import type { Unit } from './answers.ts';
import { level, shadeOnLight } from './color.ts';
import { type Drawing, fontSize } from './drawing.ts';
import { escapeText } from './escape.ts';
import { powersOfTen, timeLabels, timeMarks } from './scales.ts';
import type { Rgb } from './terminal.ts';
import { count, lengthText } from './units.ts';

const width = 1600;
const height = 900;
const plot = { left: 130, top: 110, right: 1560, bottom: 740 };
const ink: Rgb = [32, 33, 38];
const faint: Rgb = [110, 113, 122];
const grid: Rgb = [222, 224, 230];
const paper: Rgb = [255, 255, 255];
/** Steps of the colour scale. */
const shades = 32;

/** The heat map of some spans (`noun`: exits, requests) as a picture to print: time across, latency up on a logarithmic scale, count as colour. */
export function heatmapImage(
  heat: Heat,
  { title, unit, noun, what }: { title: string; unit: Unit; noun: string; what: string },
): Drawing {
  const drawing: Drawing = { width, height, title: escapeText(title), background: paper, rects: [], texts: [] };
  const text = (x: number, y: number, words: string, anchor: 'start' | 'middle' | 'end' = 'start', color = ink) =>
    drawing.texts.push({ x, y, text: words, anchor, color });
  const label = lengthText(unit);
  const { counts, from, step } = heat;
  const edges = heat.edges.map((edge, i) => (Number.isFinite(edge) ? edge : 2 * (heat.edges[i - 1] as number)));
  const span = counts.length * step;
  // A latency of 0 has no logarithm.
  const log = (latency: number) => Math.log(Math.max(latency, 0.5));
  const [least, most] = [log(edges[0] as number), log(edges.at(-1) as number)];
  const x = (time: number) => Math.round(plot.left + ((time - from) / span) * (plot.right - plot.left));
  const y = (latency: number) =>
    Math.round(plot.bottom - ((log(latency) - least) / (most - least)) * (plot.bottom - plot.top));

  text(plot.left, 46, fit(escapeText(title), 100));
  text(plot.left, 84, `${what}: ${count(heat.total)}`, 'start', faint);
  for (const power of powersOfTen(edges[0] as number, edges.at(-1) as number)) {
    drawing.rects.push({ x: plot.left, y: y(power), width: plot.right - plot.left, height: 1, color: grid });
    text(plot.left - 12, y(power) + fontSize / 3, label(power), 'end', faint);
  }
  const marks = timeMarks(from, from + span, span / 8);
  const names = timeLabels(marks, unit);
  marks.forEach((time, n) => {
    drawing.rects.push({ x: x(time), y: plot.bottom, width: 1, height: 8, color: faint });
    text(x(time), plot.bottom + 36, names[n] as string, 'middle', faint);
  });
  drawing.rects.push({ x: plot.left, y: plot.bottom, width: plot.right - plot.left, height: 1, color: faint });

  const highest = counts.reduce((max, row) => row.reduce((m, n) => Math.max(m, n), max), 0);
  const shadeOf = (n: number) => shadeOnLight(Math.round(level(n, highest) * shades) / shades);
  counts.forEach((row, t) => {
    row.forEach((n, l) => {
      if (n === 0) return;
      const [left, right] = [x(from + t * step), x(from + (t + 1) * step)];
      const [top, bottom] = [y(edges[l + 1] as number), y(edges[l] as number)];
      drawing.rects.push({
        x: left,
        y: top,
        width: Math.max(1, right - left),
        height: Math.max(1, bottom - top),
        color: shadeOf(n),
      });
    });
  });
  legend(drawing, highest, noun, text);
  return drawing;
}

/** The colour scale, with the counts at its powers of ten. */
function legend(
  { rects }: Drawing,
  highest: number,
  noun: string,
  text: (x: number, y: number, words: string, anchor?: 'start' | 'middle' | 'end', color?: Rgb) => void,
): void {
  const [left, top, length, thick] = [plot.left + 170, 818, 640, 22];
  text(plot.left, top + 20, `${noun} per cell`, 'start', faint);
  for (let i = 0; i < shades; i++) {
    const from = left + Math.round((length * i) / shades);
    const to = left + Math.round((length * (i + 1)) / shades);
    rects.push({ x: from, y: top, width: to - from, height: thick, color: shadeOnLight(i / (shades - 1)) });
  }
  const marks = [...powersOfTen(1, highest / 2.5), highest];
  for (const n of marks) {
    const x = left + Math.round(length * (highest <= 1 ? 1 : level(n, highest)));
    text(x, top + thick + 28, count(n), 'middle', faint);
  }
}

function fit(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
