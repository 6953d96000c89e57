import { timeLabels } from '../../src/report/scales.ts';
import { count, lengthText, plural } from '../../src/report/units.ts';
import { latencyEdge } from '../../src/views/heatmap.ts';
import { el, refill } from './dom.ts';
import { Heatmap } from './heatmap.ts';
import type { Picture, Region } from './picture.ts';
import { fromHash, type State, toHash } from './state.ts';

export type PanelOptions = {
  /** What the panel's part of the address begins with: a page can have several. */
  prefix: string;
  origin: bigint;
  signal: AbortSignal;
  /** Draws a part anew, as fine as its length lets it be. */
  finer?: (view: Region) => Promise<Picture>;
  /** Another choice was made. */
  changed(state: State): void;
  /** A cell was asked for what is in it. */
  opened(): void;
};

/** A heat map with what is needed to choose from it: by the spans' properties, by a brush, by the address. */
export class PicturePanel {
  /** The parts, to be shown one below the other. */
  readonly parts: HTMLElement[];
  state: State;
  readonly #picture: Picture;
  readonly #options: PanelOptions;
  readonly #heatmap: Heatmap;
  readonly #picks = el('div', { class: 'toolbar' });
  readonly #status = el('p', { class: 'status', 'aria-live': 'polite' });
  readonly #cells = el('details', { class: 'alternative' });
  /** What is chosen, in a sentence, and what could not be answered about it. */
  #told = '';
  #failure = '';
  /** What was drawn anew, and of which part that is. */
  #finer: { from: number; to: number; picture: Picture } | undefined;
  #finerAsked = 0;
  /** The picture whose cells are shown: of the whole, or of the part that is looked at. */
  #shown: Picture;

  constructor(picture: Picture, options: PanelOptions) {
    const { prefix, origin, signal } = options;
    this.#picture = picture;
    this.#shown = picture;
    this.#options = options;
    this.state = fromHash(location.hash, picture, prefix);
    const events = {
      selected: (region: Region | undefined) => this.#set({ region }),
      zoomed: (view: Region | undefined) => this.#set({ view }),
      opened: () => options.opened(),
    };
    this.#heatmap = new Heatmap(picture, this.state.filter, origin, events, signal);
    this.parts = [this.#picks, this.#heatmap.element, this.#cells, this.#status];
    const reread = () => {
      this.state = fromHash(location.hash, picture, prefix);
      this.show();
    };
    addEventListener('hashchange', reread, { signal });
  }

  /** Shows what is chosen, and tells of it. */
  show(): void {
    const { filter, region, view, lines } = this.state;
    this.#failure = '';
    const finer =
      view !== undefined && this.#finer?.from === view.from && this.#finer.to === view.to ? this.#finer : undefined;
    this.#shown = finer?.picture ?? this.#picture;
    this.#heatmap.show(filter, this.#shown);
    if (this.#options.finer !== undefined && view !== undefined && finer === undefined) void this.#drawFiner(view);
    this.#heatmap.showLines(lines);
    this.#heatmap.look(view);
    this.#heatmap.select(region);
    this.#fillPicks();
    this.#fillCells();
    this.tell();
    this.#options.changed(this.state);
  }

  /** Chooses a value in a dimension, or (undefined) all. */
  pick(dimension: number, value: number | undefined, apart = this.state.filter.apart): void {
    const values = this.state.filter.values.map((old, d) => (d === dimension ? value : old));
    this.#set({ filter: { values, apart } });
  }

  /** Says in a sentence what is chosen; how much that is, where the cells do not know it exactly. */
  tell(inside = this.inside()): void {
    this.#told = this.#statusText(inside);
    this.#say();
  }

  /** Says that the server gave no answer to what is chosen, until something else is. */
  fail(error: unknown): void {
    this.#failure = ` The server could not answer: ${(error as Error).message}`;
    this.#say();
  }

  #say(): void {
    this.#status.textContent = this.#told + this.#failure;
  }

  /** How many spans pass the filter, in the region. */
  inside(): number {
    const { filter, region } = this.state;
    const wanted = filter.values[0];
    let sum = 0;
    for (const [value, { count: n }] of this.#picture.figuresBy(0, filter, region)) {
      const apart = this.#picture.frame.apart?.values.includes(value) === true;
      if (wanted === undefined ? apart === filter.apart : value === wanted) sum += n;
    }
    return sum;
  }

  #set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    history.replaceState(null, '', `#${toHash(this.state, this.#picture, this.#options.prefix, location.hash)}`);
    this.show();
  }

  /** Has the part that is looked at drawn by the server, from the trace's exits: as fine as its length lets it be. */
  async #drawFiner(view: Region): Promise<void> {
    const asked = ++this.#finerAsked;
    let picture: Picture | undefined;
    try {
      picture = await this.#options.finer?.(view);
    } catch (error) {
      if (asked === this.#finerAsked) this.fail(error);
      return;
    }
    if (picture === undefined || asked !== this.#finerAsked || picture.last === 0) return;
    this.#finer = { from: view.from, to: view.to, picture };
    if (this.state.view?.from !== view.from || this.state.view.to !== view.to) return;
    this.#shown = picture;
    this.#heatmap.show(this.state.filter, picture);
  }

  #statusText(inside: number): string {
    const { region, filter } = this.state;
    const { noun, unit, dimensions } = this.#picture.frame;
    const label = lengthText(unit);
    const parts = [plural(inside, noun[0], noun[1])];
    dimensions.forEach(({ title, values }, d) => {
      const value = filter.values[d];
      if (value !== undefined) parts.push(`${title} ${values[value]}`);
    });
    if (region !== undefined) {
      const { step } = this.#shown.frame;
      parts.push(`begun ${timeLabels([region.from, region.to], unit, step).join(' to ')} after the start`);
      parts.push(`lasting ${label(region.least)} to ${label(region.most)}`);
    }
    return `${region === undefined ? 'Shown' : 'Selected'}: ${parts.join(', ')}.`;
  }

  #fillPicks(): void {
    const { filter, region, view, lines } = this.state;
    const { dimensions, apart } = this.#picture.frame;
    const selects = dimensions.map(({ title, values }, d) => {
      const select = el(
        'select',
        { change: () => this.pick(d, select.value === '' ? undefined : Number(select.value)) },
        el('option', { value: '' }, 'all'),
        ...values.map((value, i) => el('option', { value: i, selected: filter.values[d] === i }, value)),
      );
      return el('label', {}, `${title} `, select);
    });
    const toggle = (name: string, on: boolean, click: () => void) =>
      el('button', { type: 'button', class: 'toggle', 'aria-pressed': String(on), click }, name);
    refill(
      this.#picks,
      ...selects,
      ...(apart === undefined
        ? []
        : [
            toggle(apart.others, !filter.apart, () =>
              this.#set({ filter: { values: filter.values.with(0, undefined), apart: false } }),
            ),
            toggle(apart.title, filter.apart, () =>
              this.#set({ filter: { values: filter.values.with(0, undefined), apart: true } }),
            ),
          ]),
      toggle('percentiles', lines, () => this.#set({ lines: !lines })),
      ...(region === undefined
        ? []
        : [
            el('button', { type: 'button', click: () => this.#set({ view: region }) }, 'Zoom in'),
            el('button', { type: 'button', click: () => this.#set({ region: undefined }) }, 'Clear selection'),
          ]),
      ...(view === undefined
        ? []
        : [el('button', { type: 'button', click: () => this.#set({ view: undefined }) }, 'Show all')]),
    );
  }

  /** The picture as a table: octaves of latency by a dozen stretches of time. */
  #fillCells(): void {
    const grid = this.#picture.grid(this.state.filter);
    const { from, step, unit } = this.#picture.frame;
    const per = Math.max(1, Math.ceil(grid.bins / 12));
    const columns = Math.ceil(grid.bins / per);
    const label = lengthText(unit);
    const heads = timeLabels(
      Array.from({ length: columns }, (_, c) => from + c * per * step),
      unit,
    );
    const rows = new Map<number, number[]>();
    for (let bin = 0; bin < grid.bins; bin++) {
      for (let row = 0; row < grid.rows; row++) {
        const n = grid.counts[bin * grid.rows + row] as number;
        if (n === 0) continue;
        const octave = Math.floor((grid.first + row) / 8);
        const line = rows.get(octave) ?? new Array<number>(columns).fill(0);
        rows.set(octave, line);
        const c = Math.floor(bin / per);
        line[c] = (line[c] as number) + n;
      }
    }
    const [, many] = this.#picture.frame.noun;
    this.#cells.replaceChildren(
      el('summary', {}, 'The picture as a table'),
      el(
        'div',
        { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'The picture as a table' },
        el(
          'table',
          {},
          el('caption', {}, `Number of ${many} by duration and time of their beginning`),
          el(
            'thead',
            {},
            el(
              'tr',
              {},
              el('th', { scope: 'col' }, 'lasting from'),
              ...heads.map((head) => el('th', { scope: 'col', class: 'number' }, head)),
            ),
          ),
          el(
            'tbody',
            {},
            ...[...rows]
              .sort(([a], [b]) => b - a)
              .map(([octave, line]) =>
                el(
                  'tr',
                  {},
                  el('th', { scope: 'row' }, label(latencyEdge(octave * 8))),
                  ...line.map((n) => el('td', { class: 'number' }, n === 0 ? '' : count(n))),
                ),
              ),
          ),
        ),
      ),
    );
  }
}
