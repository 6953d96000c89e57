/** An interrupt's vector, as manuals have it: `0xec`; '' where it is not known. */
export function vectorName(vector: number): string {
  return vector < 0 ? '' : `0x${vector.toString(16)}`;
}
