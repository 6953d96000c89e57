import type { Filter, Picture, Region } from './picture.ts';

/** What a reader has picked; it stands in the page's address, so that a finding can be shared. */
export type State = { filter: Filter; region: Region | undefined; view: Region | undefined; lines: boolean };

function emptyState(picture: Picture): State {
  return {
    filter: { values: picture.frame.dimensions.map(() => undefined), apart: false },
    region: undefined,
    view: undefined,
    lines: false,
  };
}

/**
 * The state as the part of an address after `#`, beside what other pictures have there: names begin with `prefix`, and only those that
 * begin with none have no dot. Values go by name: numbers differ from trace to trace.
 */
export function toHash(state: State, picture: Picture, prefix: string, before: string): string {
  const query = new URLSearchParams(before.replace(/^#/, ''));
  const isOwn = (name: string) => (prefix === '' ? !name.includes('.') : name.startsWith(prefix));
  for (const name of [...query.keys()].filter(isOwn)) query.delete(name);
  picture.frame.dimensions.forEach(({ title, values }, d) => {
    const value = state.filter.values[d];
    if (value !== undefined) query.set(prefix + title, values[value] as string);
  });
  if (state.filter.apart) query.set(`${prefix}apart`, '1');
  if (state.lines) query.set(`${prefix}lines`, '1');
  if (state.region !== undefined) query.set(`${prefix}region`, write(state.region));
  if (state.view !== undefined) query.set(`${prefix}view`, write(state.view));
  return query.toString();
}

/** The state that an address tells; what it does not tell, or what is not in this picture, is as in the beginning. */
export function fromHash(hash: string, picture: Picture, prefix: string): State {
  const query = new URLSearchParams(hash.replace(/^#/, ''));
  const state = emptyState(picture);
  state.filter.values = picture.frame.dimensions.map(({ title, values }) => {
    const at = values.indexOf(query.get(prefix + title) ?? '');
    return at < 0 || !query.has(prefix + title) ? undefined : at;
  });
  state.filter.apart = picture.frame.apart !== undefined && query.get(`${prefix}apart`) === '1';
  state.lines = query.get(`${prefix}lines`) === '1';
  state.region = read(query.get(`${prefix}region`));
  state.view = read(query.get(`${prefix}view`));
  return state;
}

function write({ from, to, least, most }: Region): string {
  return [from, to, least, most].join(',');
}

function read(text: string | null): Region | undefined {
  const numbers = (text ?? '').split(',').map(Number);
  if (text === null || numbers.length !== 4 || !numbers.every(Number.isFinite)) return undefined;
  const [from, to, least, most] = numbers as [number, number, number, number];
  return to > from && most > least ? { from, to, least, most } : undefined;
}
