/** Units of time that lengths are printed in, in ns, the shortest first. */
export const printedUnits: readonly [unit: string, ns: number][] = [
  ['ns', 1],
  ['µs', 1e3],
  ['ms', 1e6],
  ['s', 1e9],
];

/** Units of time as people type them, in ns: those that are printed, `u` and the other µ for µ, and longer ones. */
export const unitNs: ReadonlyMap<string, number> = new Map([
  ...printedUnits,
  ['us', 1e3],
  ['μs', 1e3],
  ['m', 60e9],
  ['min', 60e9],
  ['h', 3600e9],
]);

/** A length of time with its unit as people type it (`1ms`, `2.5 s`, `100us`, `1m`), in ns; undefined where the text is none. */
export function parseLength(text: string): number | undefined {
  const match = /^(\d+(?:\.\d*)?|\.\d+)\s*([a-zµμ]+)$/.exec(text.trim());
  const unit = unitNs.get(match?.[2] ?? '');
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}
