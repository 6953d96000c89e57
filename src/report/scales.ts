/** The powers of ten from `least` to `most`. */
export function powersOfTen(least: number, most: number): number[] {
  const powers: number[] = [];
  for (let power = 1; power <= most && power < 1e18; power *= 10) if (power >= least) powers.push(power);
  return powers;
}

/** Round moments from 0 on within a length of time, at most so many. */
export function timeSteps(length: number, atMost: number): number[] {
  if (!(length > 0)) return [0];
  const least = length / atMost;
  let step = 10 ** Math.ceil(Math.log10(least));
  for (const part of [5, 2]) {
    if (step / part >= least) {
      step /= part;
      break;
    }
  }
  const steps: number[] = [];
  for (let i = 0; i * step <= length; i++) steps.push(i * step);
  return steps;
}
