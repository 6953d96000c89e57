import type { Stats } from '../spans/summary.ts';
import { type Change, changeOf, type Estimate, markNews, quantileOf, rarely, ratioOf } from './change.ts';
import type { Subject } from './conditions.ts';
import type { BlockRow } from './span-blocks.ts';

/** What two recordings are compared by. `total` is per second of the recording, `share` of the vCPUs' time. */
export const diffFigures = ['total', 'rate', 'avg', 'p50', 'p99', 'share'] as const;
export type DiffFigure = (typeof diffFigures)[number];

/** Durations that it takes for a p99 that is more than the longest. */
const fewestForP99 = 100;

/** One row of one recording. */
export type SideRow = {
  /** What it is called, a word for each column; the same in both recordings where it is the same thing. */
  names: readonly string[];
  /** `idle` is time that nobody waits for: a halt. */
  kind: 'row' | 'idle' | 'sum';
  stats: Stats | undefined;
  /** Its figures, as numbers: `rate` and `total` per second. */
  values: { [figure in DiffFigure]?: number };
  estimates: { [figure in DiffFigure]?: Estimate | undefined };
  /** How often it occurs, by the recording's blocks of time. */
  counts: Float64Array;
};

/** One recording. */
export type Side = {
  rows: SideRow[];
  /** Spans, or exits, that the figures rest on. */
  count: number;
  /** Time that rates are of, in ns. */
  duration: number;
  /** How long a block of time is: a power of 2 times what it is in the other recording. */
  block: number;
  /** vCPUs seen, where that is known. */
  vcpus: number | undefined;
};

/** The same thing in both recordings. */
export type DiffRow = {
  names: readonly string[];
  kind: SideRow['kind'];
  before: SideRow | undefined;
  after: SideRow | undefined;
  /** Those of figures that both have; of some nobody can say how sure they are. */
  changes: { [figure in DiffFigure]?: Change };
};

export type Diff = {
  before: Side;
  after: Side;
  figures: readonly DiffFigure[];
  /** By how much the time per second changed, most first; of each kind together, rows first. */
  rows: DiffRow[];
  /** How many changes were judged, and how many of them are news. */
  judged: number;
  news: number;
};

/** One row of spans. */
export function spanRow(
  names: readonly string[],
  kind: SideRow['kind'],
  row: BlockRow,
  lengths: readonly number[],
  resolution: number,
): SideRow {
  const stats = row.summary.result();
  const blocks = lengths.length;
  const counts = row.counts.subarray(0, blocks);
  const totals = row.totals.subarray(0, blocks);
  const seconds = lengths.reduce((sum, length) => sum + length, 0) / 1e9;
  const inSeconds = lengths.map((length) => length / 1e9);
  return {
    names,
    kind,
    stats,
    values: {
      total: stats.total / seconds,
      rate: stats.count / seconds,
      avg: stats.mean,
      p50: stats.p50,
      p99: stats.count < fewestForP99 ? Number.NaN : stats.p99,
    },
    estimates: {
      total: ratioOf(totals, inSeconds),
      // Where the recording begins and ends, there may be one event more or less.
      rate: ratioOf(counts, inSeconds, 0.5 / seconds),
      avg: ratioOf(totals, counts),
      p50: quantileOf(stats.p50, 0.5, row.buckets(), counts, resolution),
      p99: stats.count < fewestForP99 ? undefined : quantileOf(stats.p99, 0.99, row.buckets(), counts, resolution),
    },
    counts,
  };
}

/** What rows of spans are compared by where they have no length. */
export const countFigures = ['rate'] as const satisfies readonly DiffFigure[];

/** What rows of spans are compared by. */
export const spanFigures = ['total', 'rate', 'avg', 'p50', 'p99'] as const satisfies readonly DiffFigure[];

/** Compares two recordings row by row. */
export function compare(before: Side, after: Side, figures: readonly DiffFigure[]): Diff {
  const byName = new Map<string, DiffRow>();
  for (const [side, key] of [
    [before, 'before'],
    [after, 'after'],
  ] as const) {
    for (const row of side.rows) {
      const name = JSON.stringify([row.kind, row.names]);
      const known = byName.get(name) ?? {
        names: row.names,
        kind: row.kind,
        before: undefined,
        after: undefined,
        changes: {},
      };
      known[key] = row;
      byName.set(name, known);
    }
  }
  const rows = [...byName.values()];
  for (const row of rows) row.changes = changesOf(row, figures, before, after);
  const changes = rows.flatMap((row) => Object.values(row.changes).filter(isJudged));
  markNews(changes);
  const kinds = ['row', 'sum', 'idle'];
  const first = figures[0] as DiffFigure;
  const size = ({ before: a, after: b }: DiffRow) => Math.abs((b?.values[first] ?? 0) - (a?.values[first] ?? 0));
  rows.sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || size(b) - size(a));
  return {
    before,
    after,
    figures,
    rows,
    judged: changes.length,
    news: changes.filter(({ news }) => news).length,
  };
}

/** Whether it can be said how likely a change is noise. */
function isJudged(change: Change | undefined): change is Change {
  return change !== undefined && !Number.isNaN(change.p);
}

function changesOf(row: DiffRow, figures: readonly DiffFigure[], before: Side, after: Side): DiffRow['changes'] {
  const changes: DiffRow['changes'] = {};
  for (const figure of figures) {
    const [a, b] = [row.before?.estimates[figure], row.after?.estimates[figure]];
    const change = a === undefined || b === undefined ? undefined : changeOf(a, b);
    if (change !== undefined && (change.low > 0 || change.high < Number.POSITIVE_INFINITY)) changes[figure] = change;
    else {
      const ratio = (row.after?.values[figure] ?? Number.NaN) / (row.before?.values[figure] ?? Number.NaN);
      const unknown = Number.NaN;
      if (!Number.isNaN(ratio)) changes[figure] = { ratio, low: unknown, high: unknown, p: unknown, news: false };
    }
  }
  // Of what is rare in one of them, only how often it occurs can be compared.
  if (!isJudged(changes.rate) && figures.includes('rate')) {
    const block = Math.max(before.block, after.block);
    changes.rate = {
      ratio: (row.after?.values.rate ?? 0) / (row.before?.values.rate ?? 0),
      low: Number.NaN,
      high: Number.NaN,
      p: rarely(
        occupied(row.before, block / before.block),
        occupied(row.after, block / after.block),
        before.duration / (before.duration + after.duration),
      ),
      news: false,
    };
  }
  return changes;
}

/** In how many blocks something occurs, where so many of its own blocks are taken as one. */
function occupied(row: SideRow | undefined, together: number): number {
  const blocks = new Set<number>();
  row?.counts.forEach((n, block) => {
    if (n > 0) blocks.add(Math.floor(block / together));
  });
  return blocks.size;
}

/**
 * What conditions can be about: by how much each figure of a row changed, as a fraction of 1; 0 where that is no more than
 * noise. `subject` names a row.
 */
export function diffSubjects(
  { rows, figures }: Diff,
  subject: (row: DiffRow) => Pick<Subject, 'kind' | 'name'>,
): Subject[] {
  return rows.map((row) => ({
    ...subject(row),
    change: true,
    measured: Object.fromEntries(
      figures.map((figure) => {
        const change = row.changes[figure];
        return [figure, !isJudged(change) ? Number.NaN : change.news ? change.ratio - 1 : 0];
      }),
    ),
  }));
}
