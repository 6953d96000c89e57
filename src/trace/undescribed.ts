/** Types named in a sentence. */
const named = 4;

/**
 * Why it cannot be told whether a recording holds some events, as a sentence's middle: it has events that are known by number alone, as the
 * file holds no format of them. Undefined where there are none such.
 */
export function untellable(types: Iterable<string>, what: string): string | undefined {
  const numbers = [...new Set(types)].filter((name) => /^(tracepoint|unknown):\d+$/.test(name));
  if (numbers.length === 0) return undefined;
  const some = `${numbers.slice(0, named).join(', ')}${numbers.length > named ? ', …' : ''}`;
  return `whether there is ${what} in it cannot be told: it holds no format of ${some}, events that are known by number alone`;
}
