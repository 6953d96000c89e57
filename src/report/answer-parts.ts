import type { Unit } from '../views/figures.ts';
import type { Heat } from '../views/heatmap.ts';
import type { Reading } from '../views/reading.ts';
import { heatmapText } from './heatmap-text.ts';
import { remarks } from './remarks.ts';
import type { Terminal } from './terminal.ts';
import { count, lengths } from './units.ts';

/*
 * What the text of one answer has in common with that of another.
 */

/** The parts of an answer under each other; '' is none. */
export function inParts(parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('\n');
}

/** As a sentence or a title begins with it. */
export function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A heat map of spans under its title. `after` follows the title, with the line's end. */
export function heatPart(what: string, heat: Heat | undefined, unit: Unit, terminal: Terminal, after = '\n'): string {
  if (heat === undefined) return '';
  const title = terminal.style('strong', `${upper(what)} over time, by how long they took`);
  return `${title}${after}${heatmapText(heat, terminal, unit)}`;
}

/** Those that were slow: how many there were over the threshold, and that, where there is one. */
type SlowOnes = { shown: number; over: number; than: number | undefined; unit: Unit };

/** The title of a slow log: `Slow exits: 3`, `Exits longer than 1 ms, the 1,000 slowest of 2,000`. `by` is what they are slow by. */
export function slowTitle(what: string, { shown, over, than, unit }: SlowOnes, terminal: Terminal, by = ''): string {
  const title =
    than === undefined ? `Slow ${what}${by}` : `${upper(what)} longer than ${lengths(unit).short(than)}${by}`;
  return `${terminal.style('strong', title)}${howMany(shown, over)}`;
}

/** How many of those that were slow are shown, for the title of a slow log. */
export function howMany(shown: number, over: number): string {
  return over > shown ? `, the ${count(shown)} slowest of ${count(over)}` : `: ${count(shown)}`;
}

/** The last part of an answer: lines about what it leaves out, then what was lost, and what that makes unsure. */
export function closingPart(lines: readonly string[], reading: Reading, terminal: Terminal, unsure: string): string {
  return lines.map((line) => `${line}\n`).join('') + remarks(reading, terminal, unsure);
}
