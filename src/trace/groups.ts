/**
 * The groups of a match, the whole text first, with the types that the pattern gives them: TypeScript does not know how many there are, nor
 * which always match. `const [, name, rest] = groups<[string, string, string?]>(match)`.
 */
export function groups<T extends readonly (string | undefined)[]>(match: readonly (string | undefined)[]): T {
  return match as T;
}
