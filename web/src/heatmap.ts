import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { hexColor, level } from '../../src/report/color.ts';
import { timeLabels } from '../../src/report/scales.ts';
import { count, lengthText, percent, plural } from '../../src/report/units.ts';
import { timestamp } from '../../src/trace/time-stamp.ts';
import { latencyEdge } from '../../src/views/heatmap.ts';
import { latencyMarks } from './axis.ts';
import { el } from './dom.ts';
import type { Filter, Grid, Picture, Region } from './picture.ts';
import { colors, onTheme } from './theme.ts';

/** The lines over the map that a reader can ask for. */
const shares = [0.5, 0.9, 0.99];
const lineNames = ['median', '90 %', '99 %', 'longest'];

/** A place of the picture: time bin, and latency row counted from the picture's first. */
type Place = { bin: number; row: number };

export type HeatmapEvents = {
  /** A part was selected, or the selection given up. */
  selected(region: Region | undefined): void;
  /** A part is looked at more closely, or the whole again. */
  zoomed(view: Region | undefined): void;
  /** A cell was asked for what is in it. */
  opened(region: Region): void;
};

/**
 * The heat map: time across, latency up (logarithmic), count as colour (logarithmic). uPlot brings axes, scales, lines and
 * the brush; the cells are drawn under its lines.
 */
export class Heatmap {
  readonly element: HTMLElement;
  #picture: Picture;
  readonly #origin: bigint;
  readonly #events: HeatmapEvents;
  readonly #box: HTMLElement;
  readonly #tip: HTMLElement;
  readonly #frame: HTMLElement;
  readonly #spoken: HTMLElement;
  readonly #legend: HTMLElement;
  readonly #lineKey: HTMLElement;
  #plot: uPlot | undefined;
  #grid: Grid;
  #view: Region;
  #region: Region | undefined;
  #place: Place | undefined;
  /** Where a keyboard selection began. */
  #anchor: Place | undefined;
  #lines = false;

  constructor(picture: Picture, filter: Filter, origin: bigint, events: HeatmapEvents, signal: AbortSignal) {
    this.#picture = picture;
    this.#origin = origin;
    this.#events = events;
    this.#grid = picture.grid(filter);
    this.#view = picture.around(this.#grid);
    const [, many] = picture.frame.noun;
    this.#frame = el('div', { class: 'cell-cursor', hidden: true });
    this.#tip = el('div', { class: 'tip', hidden: true });
    this.#spoken = el('div', { class: 'visually-hidden', 'aria-live': 'polite' });
    this.#box = el('div', {
      class: 'heatmap-box',
      tabindex: 0,
      role: 'application',
      'aria-label': `Heat map of ${many}: time across, duration up, count as colour. Arrow keys move from cell to cell, with Shift they select, Enter opens a cell, plus and minus zoom, Escape clears.`,
      keydown: (event: KeyboardEvent) => this.#key(event),
      blur: () => this.#leave(),
    });
    this.#legend = el('div', { class: 'legend' });
    this.#lineKey = el('div', { class: 'legend', hidden: true });
    this.element = el('div', { class: 'heatmap' }, this.#box, this.#tip, this.#legend, this.#lineKey, this.#spoken);
    new ResizeObserver(() => this.#resize()).observe(this.#box);
    onTheme(() => this.#build(), signal);
  }

  /** Draws the spans of another filter, or of another picture of the same or a part of them. */
  show(filter: Filter, picture = this.#picture): void {
    if (picture !== this.#picture) {
      this.#picture = picture;
      this.#leave();
    }
    this.#grid = this.#picture.grid(filter);
    this.#plot?.setData(this.#data(), false);
    this.#redraw();
    this.#drawLegend();
  }

  /** Shows or hides the percentile lines. */
  showLines(lines: boolean): void {
    this.#lines = lines;
    this.#lineKey.hidden = !lines;
    for (let i = 1; i <= lineNames.length; i++) this.#plot?.setSeries(i, { show: lines });
  }

  /** Marks a region as selected, without telling anyone. */
  select(region: Region | undefined): void {
    this.#region = region;
    this.#drawSelection();
  }

  /** Looks at a region, or at the whole, without telling anyone. */
  look(view: Region | undefined): void {
    this.#view = view ?? this.#picture.around(this.#grid);
    this.#redraw();
  }

  #redraw(): void {
    const plot = this.#plot;
    if (plot === undefined) return;
    plot.batch(() => {
      plot.setScale('x', { min: this.#view.from, max: this.#view.to });
      plot.setScale('y', { min: bottom(this.#view.least), max: this.#view.most });
    });
    plot.redraw(false, true);
    this.#drawSelection();
    this.#drawCursor();
  }

  #resize(): void {
    const width = this.#box.clientWidth;
    if (width === 0) return;
    if (this.#plot === undefined) this.#build();
    else if (this.#plot.width !== width) {
      this.#plot.setSize({ width, height: heightFor(width) });
      this.#drawSelection();
      this.#drawCursor();
    }
  }

  #build(): void {
    const width = this.#box.clientWidth;
    if (width === 0) return;
    this.#plot?.destroy();
    const { faint, line, lines } = colors();
    const { unit } = this.#picture.frame;
    const label = lengthText(unit);
    const axis = { stroke: faint, ticks: { stroke: line }, grid: { show: false }, font: '13px system-ui, sans-serif' };
    this.#plot = new uPlot(
      {
        width,
        height: heightFor(width),
        padding: [8, 8, 0, 0],
        legend: { show: false },
        scales: { x: { time: false, auto: false }, y: { distr: 3, log: 10, auto: false } },
        axes: [
          {
            ...axis,
            space: 90,
            values: (_, times) => timeLabels(times, unit),
            // Counted from the recording's beginning, whatever part is looked at.
            splits: (_plot, _axis, least, most, step) => {
              const times: number[] = [];
              for (let i = Math.ceil(least / step); i * step <= most; i++) times.push(i * step);
              return times;
            },
            filter: (_, times) => times,
          },
          {
            ...axis,
            size: 70,
            splits: (_plot, _axis, least, most) => latencyMarks(least, most),
            filter: (_, marks) => marks,
            values: (_, marks) => marks.map((mark) => label(mark)),
          },
        ],
        cursor: { drag: { x: true, y: true, setScale: false, uni: 24 }, points: { show: false }, x: false, y: false },
        series: [
          {},
          ...lineNames.map((name, i) => ({
            label: name,
            stroke: lines[i] as string,
            width: 2,
            dash: i === 0 ? [] : [2 + 3 * i, 3],
            points: { show: false },
            show: this.#lines,
            spanGaps: false,
          })),
        ],
        hooks: {
          drawAxes: [(plot) => this.#drawCells(plot)],
          setSelect: [(plot) => this.#brushed(plot)],
          setCursor: [(plot) => this.#pointed(plot)],
        },
      },
      this.#data(),
      this.#box,
    );
    const { over } = this.#plot;
    over.append(this.#frame);
    over.addEventListener('click', () => this.#clicked());
    over.addEventListener('dblclick', () => this.#zoom(undefined));
    over.addEventListener('mouseleave', () => this.#leave());
    this.#redraw();
    this.#drawLegend();
  }

  #data(): uPlot.AlignedData {
    const { from, step, bins } = this.#picture.frame;
    const times = Array.from({ length: bins }, (_, bin) => from + (bin + 0.5) * step);
    const { shares: lines, max } = this.#picture.lines(this.#grid, shares);
    return [times, ...lines, max] as uPlot.AlignedData;
  }

  #drawCells(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const { from, step } = this.#picture.frame;
    const { counts, bins, rows, first, most } = this.#grid;
    const { shade } = colors();
    const edges: number[] = [];
    for (let row = 0; row <= rows; row++) {
      edges.push(Math.round(plot.valToPos(bottom(latencyEdge(first + row)), 'y', true)));
    }
    const shadeOf = new Map<number, string>();
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (let bin = 0; bin < bins; bin++) {
      const left = Math.round(plot.valToPos(from + bin * step, 'x', true));
      const right = Math.round(plot.valToPos(from + (bin + 1) * step, 'x', true));
      if (right < bbox.left || left > bbox.left + bbox.width) continue;
      for (let row = 0; row < rows; row++) {
        const n = counts[bin * rows + row] as number;
        if (n === 0) continue;
        let color = shadeOf.get(n);
        if (color === undefined) {
          color = hexColor(shade(level(n, most)));
          shadeOf.set(n, color);
        }
        ctx.fillStyle = color;
        const [low, high] = [edges[row] as number, edges[row + 1] as number];
        ctx.fillRect(left, high, Math.max(1, right - left), Math.max(1, low - high));
      }
    }
    ctx.restore();
  }

  #drawLegend(): void {
    const { most } = this.#grid;
    const { shade, lines } = colors();
    const [one, many] = this.#picture.frame.noun;
    const steps = 48;
    const scale = el('canvas', { width: steps, height: 1, class: 'scale', 'aria-hidden': 'true' });
    const ctx = scale.getContext('2d') as CanvasRenderingContext2D;
    for (let i = 0; i < steps; i++) {
      ctx.fillStyle = hexColor(shade(i / (steps - 1)));
      ctx.fillRect(i, 0, 1, 1);
    }
    const marks = [1];
    for (let n = 10; n < most / 2; n *= 10) marks.push(n);
    if (most > 1) marks.push(most);
    const labels = el('div', { class: 'scale-marks' });
    for (const n of marks) {
      const mark = el('span', {}, count(n));
      mark.style.left = `${100 * level(n, most)}%`;
      labels.append(mark);
    }
    this.#legend.replaceChildren(
      el('span', {}, most === 0 ? `No ${one} here.` : `${many} per cell`),
      ...(most === 0 ? [] : [el('div', { class: 'scale-box' }, scale, labels)]),
    );
    this.#lineKey.replaceChildren(
      ...lineNames.map((name, i) => {
        const stroke = el('span', { class: 'stroke' });
        stroke.style.borderTopColor = lines[i] as string;
        stroke.style.borderTopStyle = i === 0 ? 'solid' : 'dashed';
        return el('span', {}, stroke, name);
      }),
    );
  }

  /** The region of a cell. */
  #cell({ bin, row }: Place): Region {
    const { from, step } = this.#picture.frame;
    const { first } = this.#grid;
    return {
      from: from + bin * step,
      to: from + (bin + 1) * step,
      least: latencyEdge(first + row),
      most: latencyEdge(first + row + 1),
    };
  }

  #pointed(plot: uPlot): void {
    const { left, top } = plot.cursor;
    if (left === undefined || top === undefined || left < 0 || top < 0) return;
    const { from, step, bins } = this.#picture.frame;
    const bin = Math.floor((plot.posToVal(left, 'x') - from) / step);
    if (bin < 0 || bin >= bins) return;
    this.#place = { bin, row: this.#picture.rowAt(plot.posToVal(top, 'y')) - this.#grid.first };
    this.#drawCursor();
  }

  #clicked(): void {
    // What ends a brush is a click, too.
    if (this.#plot !== undefined && this.#plot.select.width > 2) return;
    const place = this.#place;
    if (place === undefined || this.#countAt(place) === 0) {
      this.#change(undefined);
      return;
    }
    this.#open(place);
  }

  #open(place: Place): void {
    const region = this.#cell(place);
    this.#change(region);
    this.#events.opened(region);
  }

  #brushed(plot: uPlot): void {
    const { left, top, width, height } = plot.select;
    if (width < 3 || height < 3) return;
    this.#change(
      this.#picture.snap({
        from: plot.posToVal(left, 'x'),
        to: plot.posToVal(left + width, 'x'),
        least: plot.posToVal(top + height, 'y'),
        most: plot.posToVal(top, 'y'),
      }),
    );
  }

  #change(region: Region | undefined): void {
    this.select(region);
    this.#events.selected(region);
  }

  #zoom(view: Region | undefined): void {
    this.look(view);
    this.#events.zoomed(view);
  }

  #leave(): void {
    this.#place = undefined;
    this.#anchor = undefined;
    this.#drawCursor();
  }

  #key(event: KeyboardEvent): void {
    const moves: Record<string, [bins: number, rows: number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, 1],
      ArrowDown: [0, -1],
    };
    const move = moves[event.key];
    if (move !== undefined) this.#move(move, event.shiftKey, event.ctrlKey ? 10 : 1);
    else if (event.key === 'Enter' && this.#place !== undefined) this.#open(this.#place);
    else if (event.key === '+' && this.#region !== undefined) this.#zoom(this.#region);
    else if (event.key === '-') this.#zoom(undefined);
    else if (event.key === 'Escape') this.#change(undefined);
    else return;
    event.preventDefault();
  }

  #move([bins, rows]: [number, number], selects: boolean, times: number): void {
    const { bins: all, rows: high } = this.#grid;
    const before = this.#place ?? this.#start();
    const place = {
      bin: Math.min(all - 1, Math.max(0, before.bin + (this.#place === undefined ? 0 : bins * times))),
      row: Math.min(high - 1, Math.max(0, before.row + (this.#place === undefined ? 0 : rows * times))),
    };
    this.#place = place;
    if (selects) {
      this.#anchor ??= before;
      const [a, b] = [this.#cell(this.#anchor), this.#cell(place)];
      this.#change({
        from: Math.min(a.from, b.from),
        to: Math.max(a.to, b.to),
        least: Math.min(a.least, b.least),
        most: Math.max(a.most, b.most),
      });
    } else this.#anchor = undefined;
    this.#drawCursor();
    this.#spoken.textContent = this.#describe(place).join(', ');
  }

  /** Where the keyboard begins: at the fullest cell. */
  #start(): Place {
    const at = this.#grid.counts.indexOf(this.#grid.most);
    return { bin: Math.floor(at / this.#grid.rows), row: at % this.#grid.rows };
  }

  #countAt({ bin, row }: Place): number {
    return this.#grid.counts[bin * this.#grid.rows + row] ?? 0;
  }

  #drawSelection(): void {
    const plot = this.#plot;
    if (plot === undefined) return;
    const region = this.#region;
    // What is all of the picture needs no mark in it: the sentence below says what is selected.
    if (region === undefined || holds(region, this.#view)) {
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      return;
    }
    const within = (value: number, most: number) => Math.min(most, Math.max(0, value));
    const { clientWidth, clientHeight } = plot.over;
    const left = within(plot.valToPos(region.from, 'x'), clientWidth);
    const right = within(plot.valToPos(region.to, 'x'), clientWidth);
    const top = within(plot.valToPos(region.most, 'y'), clientHeight);
    const low = within(plot.valToPos(bottom(region.least), 'y'), clientHeight);
    plot.setSelect({ left, top, width: Math.max(3, right - left), height: Math.max(3, low - top) }, false);
  }

  /** Frames the cell that the mouse or the keyboard is at, and tells what is in it. */
  #drawCursor(): void {
    const plot = this.#plot;
    const place = this.#place;
    if (plot === undefined || place === undefined) {
      this.#frame.hidden = true;
      this.#tip.hidden = true;
      return;
    }
    const cell = this.#cell(place);
    const left = plot.valToPos(cell.from, 'x');
    const right = plot.valToPos(cell.to, 'x');
    const top = plot.valToPos(cell.most, 'y');
    const low = plot.valToPos(bottom(cell.least), 'y');
    this.#frame.hidden = false;
    Object.assign(this.#frame.style, {
      left: `${left - 1}px`,
      top: `${top - 1}px`,
      width: `${Math.max(3, right - left) + 2}px`,
      height: `${Math.max(3, low - top) + 2}px`,
    });
    const lines = this.#describe(place);
    this.#tip.hidden = false;
    this.#tip.replaceChildren(...lines.map((line, i) => el(i === 0 ? 'strong' : 'div', {}, line)));
    const { offsetLeft, offsetTop } = plot.over;
    const width = this.#tip.offsetWidth;
    const room = this.#box.clientWidth;
    const beside = offsetLeft + right + 12;
    const x = beside + width > room ? Math.max(0, offsetLeft + left - width - 12) : beside;
    Object.assign(this.#tip.style, { left: `${x}px`, top: `${offsetTop + Math.max(0, top - 20)}px` });
  }

  /** What is in a cell, line by line. */
  #describe(place: Place): string[] {
    const { noun, unit, dimensions, series } = this.#picture.frame;
    const label = lengthText(unit);
    const cell = this.#cell(place);
    const at = place.bin * this.#grid.rows + place.row;
    const n = this.#countAt(place);
    const times = timeLabels([cell.from, cell.to], unit).join(' to ');
    const lines = [
      plural(n, noun[0], noun[1]),
      `lasting ${label(cell.least)} to ${label(cell.most)}`,
      `begun ${times} after the start`,
    ];
    if (n === 0) return lines;
    lines.push(`${percent(n / this.#grid.total)} of all shown`);
    const own = series[this.#grid.worstSeries[at] as number] ?? [];
    const who = dimensions.map(({ title, values }, d) =>
      d === 0 ? values[own[d] ?? -1] : `${title} ${values[own[d] ?? -1]}`,
    );
    const begin = this.#grid.worstBegin[at] as number;
    const when = unit === 'ns' ? `, at ${timestamp(this.#origin, begin)}` : '';
    lines.push(`longest: ${label(this.#grid.worst[at] as number)}, ${who.join(', ')}${when}`);
    return lines;
  }
}

/** Whether all of one region is in another. */
function holds(outer: Region, { from, to, least, most }: Region): boolean {
  return outer.from <= from && outer.to >= to && outer.least <= least && outer.most >= most;
}

/** A latency for a logarithmic scale, which has no 0. */
function bottom(latency: number): number {
  return Math.max(latency, 0.5);
}

function heightFor(width: number): number {
  return width < 560 ? 300 : 420;
}
