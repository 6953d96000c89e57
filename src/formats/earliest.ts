/**
 * The earliest of some time stamps that a recording begins with, undefined where there are none. A damaged one, far from the
 * others, must not put these out of reach of times that count from it.
 */
export function earliestOf(stamps: bigint[]): bigint | undefined {
  const sorted = stamps.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const usual = sorted[sorted.length >> 1] ?? 0n;
  return sorted.find((stamp) => usual - stamp < 1n << 52n);
}
