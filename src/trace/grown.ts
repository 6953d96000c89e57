/** The typed arrays that columns are made of. */
export type Column = Float64Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

/** A copy of a column with room for `length` values, twice as many where that is not given; what is new is `filler`. */
export function grown<T extends Column>(column: T, filler = 0, length = 2 * column.length): T {
  const larger = new (column.constructor as new (length: number) => T)(length);
  larger.set(column);
  if (filler !== 0) larger.fill(filler, column.length);
  return larger;
}
