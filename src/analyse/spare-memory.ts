import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { usualMemory } from '../trace/budget.ts';

let spares = false;

/**
 * Where much memory is in use, keeps V8 from taking twice as much before it looks what of that is garbage: the analyses' own bounds are
 * for what they hold. It costs time, so that usual recordings, which never come near, do without.
 */
export function spareMemory(): void {
  if (spares || getHeapStatistics().total_heap_size < usualMemory / 6) return;
  spares = true;
  setFlagsFromString('--max-semi-space-size=8');
  setFlagsFromString('--semi-space-growth-factor=1');
  setFlagsFromString('--heap-growing-percent=30');
}
