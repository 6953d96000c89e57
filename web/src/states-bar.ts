import type { StatesJson } from '../../src/report/answers.ts';
import { percent } from '../../src/report/units.ts';
import { svg } from './dom.ts';

/** How a time divides into states, as a stacked bar: each takes its share of `whole`, in this order. */
export function statesBar(name: string, states: StatesJson, whole: number, order: readonly string[]): SVGElement {
  const told = order.filter((state) => (states[state] ?? 0) > 0);
  const text = told.map((state) => `${state} ${percent((states[state] as number) / whole)}`).join(', ');
  const picture = svg('svg', { viewBox: '0 0 1000 1', preserveAspectRatio: 'none', class: 'bar', role: 'img' });
  picture.append(svg('title', {}, `${name}: ${text}`));
  let x = 0;
  for (const state of told) {
    const width = ((states[state] as number) / whole) * 1000;
    picture.append(svg('rect', { x: x.toFixed(2), width: width.toFixed(2), height: 1, class: `state-${state}` }));
    x += width;
  }
  return picture;
}
