/** The candidates that a mistyped word most likely meant, best first; at most three, none where nothing is near. */
export function suggest(word: string, candidates: Iterable<string>): string[] {
  const wanted = word.toLowerCase();
  const found: [distance: number, candidate: string][] = [];
  for (const candidate of new Set(candidates)) {
    const other = candidate.toLowerCase();
    // An event may be named without its system.
    const distance = Math.min(editDistance(wanted, other), editDistance(wanted, other.replace(/^.*:/, '')) + 0.1);
    const part = other.includes(wanted) && wanted.length >= 3 ? 1 : Number.POSITIVE_INFINITY;
    const best = Math.min(distance, part);
    if (best <= Math.max(1.1, wanted.length * 0.4)) found.push([best, candidate]);
  }
  found.sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
  const nearest = found[0]?.[0] ?? 0;
  return found
    .filter(([distance]) => distance <= nearest + 1)
    .slice(0, 3)
    .map(([, candidate]) => candidate);
}

/** `; did you mean X or Y?`, or '' where nothing is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const found = suggest(word, candidates);
  return found.length === 0 ? '' : `; did you mean ${found.join(' or ')}?`;
}

/** How many insertions, deletions, replacements and swaps of neighbours turn one word into the other (optimal string alignment). */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 8) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(
        (previous[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (previous[j - 1] as number) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (before[j - 2] as number) + 1);
      }
      row.push(cost);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length] as number;
}
