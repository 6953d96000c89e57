import type { ExitRowJson, ExitsJson, SlowExitJson, Unit, VcpuJson } from '../report/answers.ts';
import { packCells } from '../report/cells-pack.ts';
import { statsJson } from '../report/columns.ts';
import { number } from '../report/json.ts';
import { Summary } from '../spans/summary.ts';
import { timestamp } from '../trace/time-stamp.ts';
import { Longest } from '../views/longest.ts';
import { SpanCells } from '../views/span-cells.ts';
import type { ExitRows, RowsFacts } from './exit-rows.ts';

/** Slow exits told of a region. */
const slow = 50;

/** What an explorer keeps of a trace's exits besides their rows. */
export type ExitsIndex = {
  rows: RowsFacts;
  unit: Unit;
  origin: string;
  /** By the rows' thread and reason. */
  vcpus: VcpuJson[];
  reasons: { name: string; halt: boolean }[];
  /** Thread and reason of each series of the page's picture. */
  series: { thread: number; reason: number }[];
};

/** A question about some exits; what is undefined does not matter. `to` and `most` are not part of the region. */
export type RegionQuery = {
  from: number;
  to: number;
  least: number;
  most: number;
  reason: string | undefined;
  /** As the page names them: `0`, `1234/0`, `thread 17`. */
  vcpu: string | undefined;
  vm: string | undefined;
  halts: boolean;
};

type Row = { begin: number; duration: number; thread: number; reason: number };

/** Statistics by reason of the exits of a region, all reasons, and the slowest of the reason asked for (or of all but halts). */
export function askRows(
  exits: ExitRows,
  index: ExitsIndex,
  query: RegionQuery,
  logs: ReadonlyMap<string, SlowExitJson>,
): { rows: ExitRowJson[]; slow: SlowExitJson[]; over: number } {
  const { most } = query;
  const { reasons, unit } = index;
  const takesThread = index.vcpus.map((vcpu) => fits(vcpu, query));
  const takesReason = reasons.map(({ name, halt }) =>
    query.reason === undefined ? halt === query.halts : name === query.reason,
  );
  const byReason: (Summary | undefined)[] = reasons.map(() => undefined);
  const longest = new Longest<Row>(slow);
  let over = 0;
  exits.scan(query, (begin, duration, thread, reason) => {
    if (duration >= most || takesThread[thread] !== true) return;
    let summary = byReason[reason];
    if (summary === undefined) {
      summary = new Summary();
      byReason[reason] = summary;
    }
    summary.add(duration);
    if (takesReason[reason] !== true) return;
    over++;
    if (longest.admits(duration, begin)) longest.add({ begin, duration, thread, reason });
  });
  const seconds = unit === 'ns' && Number.isFinite(query.to - query.from) ? (query.to - query.from) / 1e9 : Number.NaN;
  const all = byReason.flatMap((summary, reason) =>
    summary === undefined ? [] : [{ stats: summary.result(), reason }],
  );
  const isHalt = (reason: number) => reasons[reason]?.halt === true;
  const total = all.reduce((sum, { stats }) => sum + stats.total, 0);
  const busy = all.reduce((sum, { stats, reason }) => sum + (isHalt(reason) ? 0 : stats.total), 0);
  all.sort((a, b) => Number(isHalt(a.reason)) - Number(isHalt(b.reason)) || b.stats.total - a.stats.total);
  return {
    rows: all.map(
      ({ stats, reason }): ExitRowJson => ({
        reason: reasons[reason]?.name ?? null,
        halt: isHalt(reason),
        share: number(stats.total / total),
        ...statsJson(stats, { unit, seconds }),
        share_without_halts: isHalt(reason) ? null : number(stats.total / busy),
      }),
    ),
    slow: longest.result().map((row) => {
      const vcpu = index.vcpus[row.thread] as VcpuJson;
      const known = logs.get(logKey(row.begin, vcpu.tid));
      return (known ?? { ...tell(row, index), ...vcpu, cpu: null }) as SlowExitJson;
    }),
    over,
  };
}

/** A part of the time as a picture of its own, with cells as fine as its length lets them be. */
export function askPicture(
  exits: ExitRows,
  { series }: Pick<ExitsIndex, 'series'>,
  { from, to }: { from: number; to: number },
): { from: number; step: number; bins: number; cells: Uint8Array } {
  const byThread: number[][] = [];
  for (const [id, { thread, reason }] of series.entries()) {
    byThread[thread] ??= [];
    (byThread[thread] as number[])[reason] = id;
  }
  const cells = new SpanCells();
  cells.start(from);
  // What has no series of its own shares the last, as in the page's picture.
  exits.scan({ from, to, least: 0 }, (begin, duration, thread, reason) =>
    cells.add(byThread[thread]?.[reason] ?? series.length - 1, begin, duration),
  );
  const drawn = cells.result();
  return { from: drawn.from, step: drawn.step, bins: drawn.bins, cells: packCells(drawn) };
}

/** Under what a log is found. */
export function logKey(begin: number, tid: number): string {
  return `${begin}/${tid}`;
}

/** The logs that a page keeps, to be found by their exit. */
export function logsByExit(
  logs: readonly SlowExitJson[],
  { unit }: Pick<ExitsJson, 'unit'>,
): Map<string, SlowExitJson> {
  return new Map(logs.map((log) => [logKey(log[`begin_${unit}`] as number, log.tid), log]));
}

function tell({ begin, duration, reason }: Row, { unit, origin, reasons }: ExitsIndex) {
  return {
    time: timestamp(BigInt(origin), begin, unit === 'ns' ? 'ns' : 'ticks'),
    [`begin_${unit}`]: begin,
    [`duration_${unit}`]: duration,
    reason: reasons[reason]?.name,
  };
}

function fits({ vm, vcpu, tid }: VcpuJson, query: Pick<RegionQuery, 'vcpu' | 'vm'>): boolean {
  const name = vcpu === null ? `thread ${tid}` : String(vcpu);
  const rightVcpu = query.vcpu === undefined || query.vcpu === name || query.vcpu === `${vm}/${name}`;
  return rightVcpu && (query.vm === undefined || query.vm === String(vm));
}
