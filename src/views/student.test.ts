import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tailsBeyond, tExceededWith } from './student.ts';

const near = (actual: number, expected: number, tolerance = 1e-9) =>
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.max(1e-6, expected), `${actual}, not ${expected}`);

test("both tails of Student's t are those of SciPy's stats.t.sf", () => {
  const known: [t: number, degrees: number, probability: number][] = [
    [0.5, 1, 0.7048327646991335],
    [-2.228138851964939, 10, 0.05000000000180864],
    [3.3, 7, 0.013120714938438112],
    [1, 2, 0.4226497308103742],
    [6.5, 31, 2.98288776268916e-7],
    [2, 126, 0.047650610427040115],
    [0, 5, 1],
  ];
  for (const [t, degrees, probability] of known) near(tailsBeyond(t, degrees), probability);
});

test("the t that is exceeded with a probability is that of SciPy's stats.t.isf", () => {
  const known: [probability: number, degrees: number, t: number][] = [
    [0.05, 1, 12.706204736174705],
    [0.05, 9, 2.2621571627982053],
    [0.05, 62, 1.998971517033379],
    [0.001, 15, 4.072765195903791],
  ];
  for (const [probability, degrees, t] of known) near(tExceededWith(probability, degrees), t);
});
