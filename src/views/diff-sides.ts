import { roleOf } from '../spans/device-kinds.ts';
import type { Device, Queue } from '../spans/devices.ts';
import { ExitPairing, type ExitSpans } from '../spans/exits.ts';
import type { SpanKind, Spans } from '../spans/kind.ts';
import type { LockSpans } from '../spans/lock-spans.ts';
import { operations, RequestPath } from '../spans/request-path.ts';
import { VcpuTime, vcpuStates } from '../spans/vcpu-time.ts';
import { type Analysis, type Window, wholeOf } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import { ratioOf } from './change.ts';
import { type Side, type SideRow, spanRow } from './diff.ts';
import type { Untimed } from './exits.ts';
import { LocksView } from './locks.ts';
import { BlockRow, maxBlocks, maxRows, SpanBlocks } from './span-blocks.ts';
import { cellText, SpanGroups } from './span-groups.ts';
import { type Untold, untold } from './vcpus.ts';

/** One recording of the two that `virtap diff` compares, seen as one kind of thing. */
export interface SideView extends Analysis {
  side(trace: Trace): Side;
}

/** A side whose answer is about a stretch of its recording. */
abstract class Windowed {
  protected window: Window | undefined;

  within(window: Window): void {
    this.window = window;
  }
}

/** Exits by reason. */
export class ExitSide extends Windowed implements SideView {
  readonly pairing = new ExitPairing();
  readonly #blocks = new SpanBlocks();
  /** Counts the exits of a recording without kvm_entry. */
  #counting: { pairing: ExitPairing; blocks: SpanBlocks } | undefined = {
    pairing: new ExitPairing({ counting: true }),
    blocks: new SpanBlocks(),
  };

  override within(window: Window): void {
    super.within(window);
    this.pairing.within(window);
    this.#counting?.pairing.within(window);
  }

  wants(type: EventType): boolean {
    return this.pairing.wants(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    const { begin, duration, reason, count } = this.pairing.batch(trace, b);
    this.#blocks.start(this.window?.from ?? 0);
    for (let k = 0; k < count; k++) {
      const length = duration[k] as number;
      this.#blocks.add(reason[k] as number, (begin[k] as number) + length, length);
    }
    if (this.pairing.entered) this.#counting = undefined;
    else if (this.#counting !== undefined)
      countIn(this.#counting, this.#counting.pairing.batch(trace, b), this.window?.from ?? 0);
  }

  /** Why its exits can only be counted; undefined where they have lengths. */
  get countsOnly(): Untimed | undefined {
    const { entered, counts } = this.pairing;
    return entered ? undefined : counts.exits > 0 && counts.exits === counts.exitsWithoutThread ? 'threads' : 'entries';
  }

  side(trace: Trace): Side {
    const { clock } = trace;
    const { from, to } = this.window ?? wholeOf(trace);
    if (this.#counting !== undefined) countIn(this.#counting, this.#counting.pairing.rest(), from);
    const { pairing, blocks } = this.#counting ?? { pairing: this.pairing, blocks: this.#blocks };
    const lengths = blocks.lengths(to);
    const { names, halt } = pairing.reasons;
    const rows: SideRow[] = [];
    const busy = new BlockRow();
    blocks.rows.forEach((row, reason) => {
      if (row === undefined) return;
      const name = reason === maxRows - 1 ? 'others' : (names[reason] as string);
      const kind = halt[reason] === true ? 'idle' : 'row';
      rows.push(spanRow([name], kind, row, lengths, clock.resolution));
      if (kind === 'row') busy.merge(row);
    });
    rows.push(spanRow(['without halts'], 'sum', busy, lengths, clock.resolution));
    return {
      rows,
      count: rows.reduce((sum, { kind, stats }) => sum + (kind === 'sum' ? 0 : (stats?.count ?? 0)), 0),
      duration: to - from,
      block: blocks.width,
      vcpus: pairing.threads.length,
    };
  }
}

/** Takes exits that have no length into their blocks, by when they began. */
function countIn({ blocks }: { blocks: SpanBlocks }, { count: n, reason, begin }: ExitSpans, from: number): void {
  blocks.start(from);
  for (let k = 0; k < n; k++) blocks.add(reason[k] as number, begin[k] as number, 0);
}

/** Spans of any kind, by the columns that group them. */
export class KindSide extends Windowed implements SideView {
  readonly kind: SpanKind;
  /** Spans so far. */
  count = 0;
  readonly #spans: Spans;
  readonly #groups: SpanGroups;
  readonly #blocks = new SpanBlocks();

  constructor(kind: SpanKind) {
    super();
    this.kind = kind;
    this.#spans = kind.start();
    this.#groups = new SpanGroups(this.#spans, kind.by, maxRows - 1);
  }

  override within(window: Window): void {
    super.within(window);
    this.#spans.within(window);
  }

  wants(type: EventType): boolean {
    return this.#spans.wants(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#spans.batch(trace, b);
    this.#take();
  }

  finish(end: number): void {
    if (this.#spans.finish === undefined) return;
    this.#spans.finish(end);
    this.#take();
  }

  side(trace: Trace): Side {
    const { from, to } = this.window ?? wholeOf(trace);
    const lengths = this.#blocks.lengths(to);
    const all = new BlockRow();
    const rows = this.#groups.rows().flatMap(({ cells, groups }): SideRow[] => {
      const row = new BlockRow();
      for (const group of groups) {
        const one = this.#blocks.rows[group];
        if (one !== undefined) row.merge(one);
      }
      if (row.summary.count === 0) return [];
      all.merge(row);
      const names = this.kind.by.map((_, n) => (cells === undefined ? 'others' : cellText(cells[n]) || 'unknown'));
      return [spanRow(names, 'row', row, lengths, trace.clock.resolution)];
    });
    const sum = ['all', ...this.kind.by.slice(1).map(() => '')];
    rows.push(spanRow(sum, 'sum', all, lengths, trace.clock.resolution));
    return { rows, count: this.count, duration: to - from, block: this.#blocks.width, vcpus: undefined };
  }

  #take(): void {
    const spans = this.#spans;
    const { begin, duration } = spans.read;
    this.#blocks.start(this.window?.from ?? 0);
    this.count += spans.count;
    for (let k = 0; k < spans.count; k++) {
      this.#blocks.add(this.#groups.of(k), begin(k) + duration(k), duration(k));
    }
  }
}

const lockKinds = ['wait', 'hold', 'uncontended'] as const;

/**
 * Waits for QEMU's mutexes while others held them, holds of them, and what taking a free one took, by call site; those of the BQL
 * together, too.
 */
export class LockSide extends Windowed implements SideView {
  readonly view = new LocksView();
  /** Waits and holds so far. */
  spans = 0;
  /** By call site plus 1, times 3, and kind. */
  readonly #sites = new SpanBlocks();
  /** The same by mutex. */
  readonly #mutexes = new SpanBlocks();

  override within(window: Window): void {
    super.within(window);
    this.view.within(window);
  }

  behind(trace: Trace, b: EventBatch): void {
    this.view.behind(trace, b);
  }

  wants(type: EventType): boolean {
    return this.view.wants(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    const { view } = this;
    view.batch(trace, b);
    const { waits, holds } = view.locks;
    const from = this.window?.from ?? 0;
    this.#sites.start(from);
    this.#mutexes.start(from);
    this.spans += waits.count + holds.count;
    for (let k = 0; k < waits.count; k++) {
      const contended = waits.contended[k] === 1;
      this.#add(waits, k, contended ? 0 : 2, (contended ? waits.held : waits.duration)[k] as number);
    }
    for (let k = 0; k < holds.count; k++) this.#add(holds, k, 1, holds.duration[k] as number);
  }

  #add({ begin, duration, site, mutex }: LockSpans, k: number, kind: number, length: number): void {
    const end = (begin[k] as number) + (duration[k] as number);
    this.#sites.add(lockKinds.length * ((site[k] as number) + 1) + kind, end, length);
    this.#mutexes.add(lockKinds.length * (mutex[k] as number) + kind, end, length);
  }

  side(trace: Trace): Side {
    const { clock } = trace;
    const { from, to } = this.window ?? wholeOf(trace);
    const names = this.view.names();
    const rows: SideRow[] = [];
    const all = lockKinds.map(() => new BlockRow());
    const bql = lockKinds.map(() => new BlockRow());
    const kinds = lockKinds.length;
    const lengths = this.#sites.lengths(to);
    // Several places can have one name: a header's, say, that the compiler knows by two paths.
    const bySite = new Map<string, BlockRow>();
    this.#sites.rows.forEach((row, r) => {
      if (row === undefined) return;
      all[r % kinds]?.merge(row);
      const site = r === maxRows - 1 ? 'others' : (names.site(Math.floor(r / kinds) - 1) ?? 'unknown');
      const name = `${lockKinds[r % kinds]} ${site}`;
      const known = bySite.get(name);
      if (known === undefined) bySite.set(name, row);
      else known.merge(row);
    });
    this.#mutexes.rows.forEach((row, r) => {
      if (row !== undefined && r !== maxRows - 1 && names.mutex(Math.floor(r / kinds)) === 'BQL')
        bql[r % kinds]?.merge(row);
    });
    for (const [name, row] of bySite) {
      const [kind, ...site] = name.split(' ');
      rows.push(spanRow([site.join(' '), kind as string], 'row', row, lengths, clock.resolution));
    }
    for (const [name, sums] of [
      ['BQL', bql],
      ['all', all],
    ] as const) {
      sums.forEach((row, kind) => {
        if (row.summary.count > 0)
          rows.push(spanRow([name, lockKinds[kind] as string], 'sum', row, lengths, clock.resolution));
      });
    }
    return {
      rows,
      count: this.spans,
      duration: to - from,
      block: this.#sites.width,
      vcpus: undefined,
    };
  }
}

/** Requests by device, queue and operation; those of a device together, too. */
export class RequestSide extends Windowed implements SideView {
  readonly path = new RequestPath();
  /** Requests so far. */
  spans = 0;
  readonly #blocks = new SpanBlocks();
  /** By facet; and what rows are of. */
  readonly #rowOf: number[] = [];
  readonly #rows: { queue: Queue; operation: number }[] = [];

  override within(window: Window): void {
    super.within(window);
    this.path.within(window);
  }

  wants(type: EventType): boolean {
    // The ends of a request are enough; what else happens on its path is not compared.
    return this.path.requests.wants(type);
  }

  batch(trace: Trace, b: EventBatch): void {
    const { path } = this;
    path.batch(trace, b);
    const { begin, duration, facet, count } = path.spans;
    this.#blocks.start(this.window?.from ?? 0);
    this.spans += count;
    for (let k = 0; k < count; k++) {
      const length = duration[k] as number;
      this.#blocks.add(this.#row(facet[k] as number), (begin[k] as number) + length, length);
    }
  }

  side(trace: Trace): Side {
    const { clock } = trace;
    const { from, to } = this.window ?? wholeOf(trace);
    const lengths = this.#blocks.lengths(to);
    const rows: SideRow[] = [];
    const devices = new Map<string, BlockRow>();
    const name = deviceNames(this.#rows.map(({ queue }) => queue));
    this.#blocks.rows.forEach((row, r) => {
      if (row === undefined) return;
      const of = this.#rows[r];
      if (of === undefined || r === maxRows - 1) {
        rows.push(spanRow(['others', '', ''], 'row', row, lengths, clock.resolution));
        return;
      }
      const device = name(of.queue);
      rows.push(
        spanRow(
          [device, queueName(of.queue), operations[of.operation] as string],
          'row',
          row,
          lengths,
          clock.resolution,
        ),
      );
      const sum = devices.get(device) ?? new BlockRow();
      sum.merge(row);
      devices.set(device, sum);
    });
    for (const [device, sum] of devices) rows.push(spanRow([device, 'all', ''], 'sum', sum, lengths, clock.resolution));
    return { rows, count: this.spans, duration: to - from, block: this.#blocks.width, vcpus: undefined };
  }

  /** A facet also tells which thread popped a request, which differs from run to run. */
  #row(facet: number): number {
    const known = this.#rowOf[facet];
    if (known !== undefined && known >= 0) return known;
    const { queue, operation } = this.path.facets[facet] as RequestPath['facets'][number];
    let row = this.#rows.findIndex((one) => one.queue === queue && one.operation === operation);
    if (row < 0) row = this.#rows.length < maxRows - 1 ? this.#rows.push({ queue, operation }) - 1 : maxRows - 1;
    while (this.#rowOf.length <= facet) this.#rowOf.push(-1);
    this.#rowOf[facet] = row;
    return row;
  }
}

/**
 * Names of the devices of queues that are the same in another run of the same VM: by kind, and by the order of addresses
 * among those of one kind, which follows the command line; and by VM where there are several.
 */
function deviceNames(queues: readonly Queue[]): (queue: Queue) => string {
  const processes = [...new Set(queues.map(({ qemu }) => qemu))];
  const address = ({ high, low }: Device) => high * 2 ** 32 + low;
  const names = new Map<Device, string>();
  processes.forEach((qemu, m) => {
    const vm = processes.length > 1 ? `VM ${m} ` : '';
    const used = new Set(queues.flatMap((queue) => (queue.qemu === qemu ? (queue.device ?? []) : [])));
    const kinds = new Map<string, number>();
    for (const device of [...used].sort((a, b) => address(a) - address(b))) {
      const kind = device.kind === undefined ? 'unknown' : `virtio-${device.kind}`;
      const n = kinds.get(kind) ?? 0;
      kinds.set(kind, n + 1);
      names.set(device, `${vm}${kind} ${n}`);
    }
  });
  return ({ device }) => (device === undefined ? 'unknown' : (names.get(device) as string));
}

function queueName(queue: Queue): string {
  const role = roleOf(queue, queue.device?.kind);
  return queue.number < 0 ? role : `${queue.number} ${role}`.trimEnd();
}

/** The vCPUs' time by state. */
export class VcpuSide extends Windowed implements SideView {
  readonly pairing = new ExitPairing();
  readonly #time = new VcpuTime(this.pairing, { timeline: true });

  override within(window: Window): void {
    super.within(window);
    this.pairing.within(window);
    this.#time.within(window);
  }

  behind(trace: Trace, b: EventBatch): void {
    this.#time.behind(trace, b);
  }

  wants(type: EventType): boolean {
    return [this.pairing.wants(type), this.#time.wants(type)].includes(true);
  }

  batch(trace: Trace, b: EventBatch): void {
    this.pairing.batch(trace, b);
    this.#time.batch(trace, b);
  }

  side(trace: Trace): Side {
    const { from, to } = this.window ?? wholeOf(trace);
    const threads = this.#time.finish(to);
    const { step } = this.#time;
    const states = vcpuStates.length;
    const bins = Math.ceil((to - from) / step);
    const perBlock = Math.ceil(bins / maxBlocks);
    const blocks = Math.ceil(bins / perBlock);
    const times = vcpuStates.map(() => new Float64Array(blocks));
    const walls = new Float64Array(blocks);
    for (const { cells } of threads) {
      for (let cell = 0; cells !== undefined && cell < bins * states; cell++) {
        const block = Math.floor(cell / states / perBlock);
        const time = times[cell % states] as Float64Array;
        time[block] = (time[block] as number) + (cells[cell] as number);
        walls[block] = (walls[block] as number) + (cells[cell] as number);
      }
    }
    const wall = threads.reduce((sum, { begin, end }) => sum + end - begin, 0);
    const lacking = this.untold();
    const rows = vcpuStates.flatMap((state, s): SideRow[] => {
      const total = threads.reduce((sum, thread) => sum + thread.states[state], 0);
      if (lacking.some((one) => one.state === state) || (state === 'unsure' && total === 0)) return [];
      const time = times[s] as Float64Array;
      return [
        {
          names: [state],
          kind: 'row',
          stats: undefined,
          values: { share: total / wall },
          estimates: { share: ratioOf(time, walls) },
          counts: time,
        },
      ];
    });
    return {
      rows,
      count: this.pairing.counts.exits,
      duration: to - from,
      block: step * perBlock,
      vcpus: threads.length,
    };
  }

  /** Which states the events of the recording cannot tell apart. */
  untold(): Untold[] {
    return untold(this.#time.evidence);
  }
}
