/**
 * The absolute time of an event: seconds with nine decimals where the unit is ns (`1234.000000017`), else the bare integer.
 * The sum never goes through a float64, which could not hold it.
 */
export function timestamp(origin: bigint, offset: number, unit: 'ns' | 'ticks' | 'none' = 'ns'): string {
  return timestamps(origin, unit)(offset);
}

/** `timestamp` for many events of one trace: nothing but the text is allocated per call. */
export function timestamps(origin: bigint, unit: 'ns' | 'ticks' | 'none' = 'ns'): (offset: number) => string {
  if (unit === 'none') return () => '-';
  if (unit === 'ticks') return (offset) => (origin + BigInt(Math.round(offset))).toString();
  let seconds = origin / 1_000_000_000n;
  let rest = origin % 1_000_000_000n;
  if (rest < 0n) {
    rest += 1_000_000_000n;
    seconds -= 1n;
  }
  const baseSeconds = Number(seconds);
  const baseNs = Number(rest);
  return (offset) => {
    const total = baseNs + Math.round(offset);
    // Exact, unlike a division: both are integers below 2^53.
    let ns = total % 1e9;
    if (ns < 0) ns += 1e9;
    const whole = baseSeconds + (total - ns) / 1e9;
    // Before zero, -1 s + 0.75 s is -0.25 s.
    if (whole < 0 && ns > 0) {
      return `-${-(whole + 1)}.${String(1e9 - ns).padStart(9, '0')}`;
    }
    return `${whole}.${String(ns).padStart(9, '0')}`;
  };
}
