import type { ExitRowJson, ExitsJson, SlowExitJson, StatsJson } from '../../src/report/answers.ts';
import type { ExitsSection } from '../../src/report/page-data.ts';
import { figure } from '../../src/report/timed.ts';
import { count, cycles, duration, percent, plural, rate, roughLength } from '../../src/report/units.ts';
import { percentileDigits } from '../../src/spans/summary.ts';
import { askPicture, askRegion, type RegionAnswer } from './data.ts';
import { el, scrollTo, svg } from './dom.ts';
import { pagePart } from './parts.ts';
import type { Picture, Region } from './picture.ts';
import { PicturePanel } from './picture-panel.ts';
import { slowExit } from './slow-exit.ts';
import { Table } from './table.ts';

/** Slow exits listed at most. */
const listed = 50;

/** A line of the statistics. */
type Line = {
  name: string;
  /** Value in the picture's first dimension; undefined for sums. */
  value: number | undefined;
  halt: boolean;
  count: number;
  rate: number;
  total: number;
  share: number;
  avg: number;
  /** NaN where only the picture's cells are known. */
  min: number;
  max: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
};

/** Whether a server answers for the page, and when the part is taken away. */
export type PartLife = { live: boolean; signal: AbortSignal };

/** The section on exits of the files that `words` name to a command: heat map, statistics and slow exits, which follow what the reader picks. */
export function exitsPart(
  section: ExitsSection,
  picture: Picture,
  words: readonly string[],
  life: PartLife,
): HTMLElement {
  return new ExitsPart(section, picture, words, life).element;
}

class ExitsPart {
  readonly element: HTMLElement;
  readonly #section: ExitsSection;
  readonly #picture: Picture;
  readonly #words: readonly string[];
  readonly #live: boolean;
  readonly #panel: PicturePanel;
  readonly #table: Table<Line>;
  readonly #note = el('p', { class: 'faint' });
  readonly #slowTitle = el('h3', { id: 'slow-exits', tabindex: -1 }, 'Slow exits');
  readonly #slow = el('div');
  /** When what was asked last is shown. */
  #answered = Promise.resolve();
  /** Counts the questions to the server: a late answer to an earlier one is not shown. */
  #asked = 0;

  constructor(section: ExitsSection, picture: Picture, words: readonly string[], { live, signal }: PartLife) {
    this.#words = words;
    this.#section = section;
    this.#picture = picture;
    this.#live = live;
    this.#panel = new PicturePanel(picture, {
      prefix: '',
      origin: BigInt(section.answer.origin),
      signal,
      ...(live ? { finer: (view: Region) => askPicture(picture, view) } : {}),
      changed: () => this.#show(),
      // Not before the log is that of the cell: what stands above it changes its height with it.
      opened: () => void this.#answered.then(() => scrollTo(this.#slowTitle)),
    });
    this.#table = this.#statistics();
    this.element = pagePart(
      'exits',
      'VM exits',
      el(
        'p',
        {},
        'How long vCPUs were held outside the guest, from each kvm_exit to the kvm_entry that follows on the same thread.',
      ),
      ...this.#panel.parts,
      this.#table.element,
      this.#note,
      this.#slowTitle,
      this.#slow,
    );
    this.#panel.show();
  }

  #show(): void {
    const { filter, region } = this.#panel.state;
    const picked = region !== undefined || filter.apart || filter.values.some((value) => value !== undefined);
    if (this.#live && picked) this.#answered = this.#askServer();
    else this.#showOwn();
  }

  get #filtered(): boolean {
    return this.#panel.state.filter.values.some((value, d) => d > 0 && value !== undefined);
  }

  /** What the page itself knows: the command's own figures of everything, or those of the picture's cells. */
  #showOwn(): void {
    const { filter, region } = this.#panel.state;
    const { answer, logs } = this.#section;
    if (region === undefined && !this.#filtered) this.#showAll();
    else {
      this.#fillTable(this.#cellLines());
      this.#note.textContent =
        'Count, total, average and longest are exact; percentiles are those of the picture’s cells, within an eighth.';
    }
    this.#fillSlow(
      region === undefined && !this.#filtered && filter.values[0] === undefined && !filter.apart
        ? (answer.slow ?? [])
        : this.#within(logs),
      undefined,
    );
  }

  /** The command's own figures of everything. */
  #showAll(): void {
    const { answer } = this.#section;
    this.#fillTable(
      answer.rows.map((row) => this.#line(row)),
      answer,
    );
    this.#note.textContent = 'Share is of the time without halts: in a halt the guest sleeps of its own will.';
  }

  async #askServer(): Promise<void> {
    const asked = ++this.#asked;
    const { filter, region } = this.#panel.state;
    let found: RegionAnswer;
    try {
      found = await askRegion(this.#picture, region, filter);
    } catch (error) {
      if (asked === this.#asked) this.#panel.fail(error);
      return;
    }
    if (asked !== this.#asked) return;
    if (region === undefined && !this.#filtered) this.#showAll();
    else {
      this.#fillTable(found.rows.map((row) => this.#line(row)));
      this.#note.textContent = 'From the trace itself: all figures are exact, percentiles as the commands give them.';
    }
    this.#panel.tell(found.over);
    this.#fillSlow(found.slow, found.over);
  }

  #line(row: ExitRowJson): Line {
    const { unit } = this.#section.answer;
    const of = (name: 'total' | 'avg' | 'min' | 'max' | 'p50' | 'p90' | 'p99' | 'p999') => figure(row, name, unit);
    return {
      name: row.reason ?? '',
      value: this.#reasonIndex(row.reason ?? ''),
      halt: row.halt === true,
      count: row.count,
      rate: row.rate_per_s ?? Number.NaN,
      total: of('total'),
      share: row.share_without_halts ?? Number.NaN,
      avg: of('avg'),
      min: of('min'),
      max: of('max'),
      p50: of('p50'),
      p90: of('p90'),
      p99: of('p99'),
      p999: of('p999'),
    };
  }

  #reasonIndex(reason: string): number | undefined {
    const at = this.#picture.frame.dimensions[0]?.values.indexOf(reason) ?? -1;
    return at < 0 ? undefined : at;
  }

  #cellLines(): Line[] {
    const { filter, region } = this.#panel.state;
    const by = this.#picture.figuresBy(0, filter, region);
    const { unit } = this.#section.answer;
    const length = region === undefined ? figure(this.#section.answer, 'duration', unit) : region.to - region.from;
    const halts = new Set(this.#picture.frame.apart?.values ?? []);
    const lines = [...by].map(([value, figures]): Line => {
      const { count: n, total } = figures;
      return {
        ...figures,
        name: this.#picture.frame.dimensions[0]?.values[value] ?? '',
        value,
        halt: halts.has(value),
        rate: unit === 'ns' ? n / (length / 1e9) : Number.NaN,
        avg: total / n,
        min: Number.NaN,
        share: Number.NaN,
      };
    });
    const busy = lines.reduce((sum, line) => sum + (line.halt ? 0 : line.total), 0);
    for (const line of lines) if (!line.halt) line.share = line.total / busy;
    return lines.sort((a, b) => Number(a.halt) - Number(b.halt) || b.total - a.total);
  }

  #statistics(): Table<Line> {
    const long = this.#section.answer.unit === 'ns' ? duration : cycles;
    const histograms = this.#picture.histograms(0, this.#panel.state.filter);
    const most = this.#picture.last - this.#picture.first;
    const length = (title: string, of: (line: Line) => number) => ({
      title,
      number: true,
      cell: (line: Line) => long(of(line)),
      key: of,
    });
    const rough = roughLength(this.#section.answer.unit);
    const percentile = (title: string, of: (line: Line) => number) => ({
      ...length(title, of),
      cell: (line: Line) => (Number.isNaN(line.min) ? rough(of(line)) : long(of(line), percentileDigits(line.count))),
    });
    return new Table<Line>(
      'Exits by reason',
      [
        { title: 'reason', cell: (line) => this.#nameCell(line), key: (line) => line.name },
        { title: 'durations', cell: (line) => histogram(histograms.get(line.value ?? -1), most) },
        { title: 'count', number: true, cell: (line) => count(line.count), key: (line) => line.count },
        { title: 'rate', number: true, cell: (line) => rate(line.rate), key: (line) => line.rate },
        length('total', (line) => line.total),
        {
          title: 'share',
          number: true,
          cell: (line) => (Number.isNaN(line.share) ? '' : percent(line.share)),
          key: (line) => line.share,
        },
        length('avg', (line) => line.avg),
        length('max', (line) => line.max),
        percentile('p50', (line) => line.p50),
        percentile('p90', (line) => line.p90),
        percentile('p99', (line) => line.p99),
        percentile('p99.9', (line) => line.p999),
        length('min', (line) => line.min),
      ],
      'Find a reason',
    );
  }

  /** The name of a row, which filters the picture by it. */
  #nameCell(line: Line): string | Node {
    if (line.value === undefined) return line.name;
    const picked = this.#panel.state.filter.values[0] === line.value;
    return el(
      'button',
      {
        type: 'button',
        class: 'pick',
        'aria-pressed': String(picked),
        title: picked ? 'Show all reasons in the heat map' : `Show only ${line.name} in the heat map`,
        click: () => this.#panel.pick(0, picked ? undefined : line.value, line.halt && !picked),
      },
      line.name,
    );
  }

  #fillTable(lines: readonly Line[], answer?: ExitsJson): void {
    const kept: Line[] = [];
    if (answer !== undefined) {
      const sum = (name: string, stats: StatsJson) =>
        this.#line({ ...stats, reason: name, halt: false, share_without_halts: null } as ExitRowJson);
      const { all, without_halts: busy, halts } = answer.totals;
      if (halts.count > 0 && busy.count > 0) kept.push(sum('without halts', busy));
      kept.push(sum('all', all));
    }
    this.#table.show(lines, kept);
  }

  #fillSlow(slow: readonly SlowExitJson[], over: number | undefined): void {
    const { unit, over_threshold: all } = this.#section.answer;
    const { region } = this.#panel.state;
    const sorted = [...slow].sort((a, b) => figure(b, 'duration', unit) - figure(a, 'duration', unit)).slice(0, listed);
    const inside = this.#panel.inside();
    const told =
      over !== undefined
        ? `The ${plural(sorted.length, 'slowest exit')} of ${count(over)} picked.`
        : region === undefined && !this.#filtered && this.#panel.state.filter.values[0] === undefined
          ? `The ${plural(sorted.length, 'slowest exit')} of ${count(all ?? sorted.length)}; halts left out.`
          : `${count(sorted.length)} of the ${plural(inside, 'exit')} picked: a page keeps the slowest exit of each reason, factor of two and stretch of time. All of them:`;
    this.#slow.replaceChildren(
      el('p', { class: 'faint' }, told),
      ...(over === undefined && (region !== undefined || this.#filtered)
        ? [el('code', { class: 'command', tabindex: 0 }, this.#command())]
        : []),
      ...sorted.map((exit, i) => slowExit(exit, unit, { open: i === 0, live: this.#live })),
    );
  }

  #within(logs: readonly SlowExitJson[]): SlowExitJson[] {
    const { filter, region } = this.#panel.state;
    const { unit } = this.#section.answer;
    const halts = new Set(this.#picture.frame.apart?.values ?? []);
    const [reasons, vcpus, vms] = this.#picture.frame.dimensions;
    const wanted = (d: number, values: readonly string[] | undefined) => values?.[filter.values[d] ?? -1];
    const [reason, vcpu, vm] = [wanted(0, reasons?.values), wanted(1, vcpus?.values), wanted(2, vms?.values)];
    return logs.filter((exit) => {
      const begin = figure(exit, 'begin', unit);
      const length = figure(exit, 'duration', unit);
      const who = [
        exit.vcpu === null ? `thread ${exit.tid}` : String(exit.vcpu),
        `${exit.vm}/${exit.vcpu}`,
        `${exit.vm}/thread ${exit.tid}`,
      ];
      return (
        halts.has(this.#reasonIndex(exit.reason) ?? -1) === filter.apart &&
        (reason === undefined || exit.reason === reason) &&
        (vcpu === undefined || who.includes(vcpu)) &&
        (vm === undefined || String(exit.vm) === vm) &&
        (region === undefined ||
          (begin >= region.from && begin < region.to && length >= region.least && length < region.most))
      );
    });
  }

  /** The command line that lists what is picked. */
  #command(): string {
    const { answer, picture } = this.#section;
    const { region, filter } = this.#panel.state;
    const { unit } = answer;
    const words = ['virtap exits', ...this.#words.map(quoted)];
    if (region !== undefined && unit === 'ns') {
      // As time stamps: exact, and good for any of the commands.
      const stamp = (time: number) => {
        const ns = BigInt(answer.origin) + BigInt(Math.round(time));
        return `${ns / 1_000_000_000n}.${String(ns % 1_000_000_000n).padStart(9, '0')}`;
      };
      words.push(
        `--from ${stamp(region.from)} --to ${stamp(region.to)} --than ${Math.max(0, Math.ceil(region.least) - 1)}ns`,
      );
    } else words.push('--slow 100');
    const vcpu = picture.dimensions[1]?.values[filter.values[1] ?? -1];
    if (vcpu !== undefined && /^\d+$/.test(vcpu)) words.push(`--vcpu ${vcpu}`);
    if (filter.apart) words.push('--halts');
    return words.join(' ');
  }
}

function quoted(word: string): string {
  return /^[\w./,:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The durations of a row as a small histogram, short ones at the left; the figures beside it say the same. */
function histogram(counts: Float64Array | undefined, rows: number): Node {
  const [width, height] = [96, 22];
  const picture = svg('svg', {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    class: 'histogram',
    'aria-hidden': 'true',
  });
  if (counts === undefined) return picture;
  const most = counts.reduce((a, b) => Math.max(a, b), 0);
  const bar = width / rows;
  let path = '';
  counts.forEach((n, row) => {
    if (n === 0) return;
    const high = Math.max(1, (height - 1) * Math.sqrt(n / most));
    path += `M${(row * bar).toFixed(2)} ${height}v${-high.toFixed(2)}h${bar.toFixed(2)}v${high.toFixed(2)}z`;
  });
  picture.append(svg('path', { d: path }));
  return picture;
}
