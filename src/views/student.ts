/*
 * Student's t distribution for whole degrees of freedom: the finite sums of Abramowitz and Stegun, Handbook of
 * Mathematical Functions, 26.7.3 and 26.7.4.
 */

/** The probability that a t of so many degrees of freedom (a whole number, 1 or more) is farther from 0 than `t`, to either side. */
export function tailsBeyond(t: number, degrees: number): number {
  const angle = Math.atan(Math.abs(t) / Math.sqrt(degrees));
  const cos = Math.cos(angle);
  const odd = degrees % 2 === 1;
  // Each term is the one before, times cos² and a quotient of two neighbouring numbers.
  let term = odd ? cos : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let n = odd ? 3 : 2; n < degrees; n += 2) {
    term *= (cos * cos * (n - 1)) / n;
    sum += term;
  }
  const within = odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
  return Math.max(0, 1 - within);
}

/** The t that is exceeded, to either side, with this probability (between 0 and 1). */
export function tExceededWith(probability: number, degrees: number): number {
  let [low, high] = [0, 1];
  while (tailsBeyond(high, degrees) > probability) high *= 2;
  for (let n = 0; n < 60; n++) {
    const middle = (low + high) / 2;
    if (tailsBeyond(middle, degrees) > probability) low = middle;
    else high = middle;
  }
  return high;
}
