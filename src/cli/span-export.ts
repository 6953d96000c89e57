import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { blankRow, type SpanKind, type SpanRow, type SpanWriter } from '../report/span-rows.ts';
import { LockWaitSource } from '../script/span-sources.ts';
import { ExitPairing, type VcpuThread } from '../spans/exits.ts';
import { type Filled, operations, point, RequestPath } from '../spans/request-path.ts';
import { VcpuTime, vcpuStates } from '../spans/vcpu-time.ts';
import { type Window, wholeOf } from '../trace/analysis.ts';
import type { EventBatch } from '../trace/batch.ts';
import { type EventType, hex64 } from '../trace/event-type.ts';
import type { Trace } from '../trace/trace.ts';
import type { RunAnalysis } from './run.ts';

/** Spans as rows, in the order of their ends, written as they come. */
export class SpanExport implements RunAnalysis {
  count = 0;
  readonly #kinds: ReadonlySet<SpanKind>;
  readonly #writer: SpanWriter;
  readonly #out: Writable;
  readonly #exits = new ExitPairing({ inner: true });
  readonly #states = new VcpuTime(this.#exits, {
    stretch: (thread, state, begin, end) => this.#stretch(thread, state, begin, end),
  });
  readonly #requests = new RequestPath((filled, b, i) => this.#filled(filled, b, i));
  readonly #waits = new LockWaitSource();
  #rows: SpanRow[] = [];
  #trace: Trace | undefined;
  #full = false;
  #window: Window | undefined;

  constructor(kinds: ReadonlySet<SpanKind>, writer: SpanWriter, out: Writable) {
    this.#kinds = kinds;
    this.#writer = writer;
    this.#out = out;
  }

  wants(type: EventType): boolean {
    const kinds = this.#kinds;
    const asked = [
      (kinds.has('exits') || kinds.has('states')) && this.#exits.wants(type),
      kinds.has('states') && this.#states.wants(type),
      kinds.has('requests') && this.#requests.wants(type),
      kinds.has('waits') && this.#waits.wants(type),
    ];
    return asked.includes(true);
  }

  within(window: Window): void {
    this.#window = window;
  }

  batch(trace: Trace, b: EventBatch): void {
    this.#trace = trace;
    const kinds = this.#kinds;
    if (kinds.has('exits') || kinds.has('states')) this.#takeExits(b);
    if (kinds.has('states')) this.#states.batch(trace, b);
    if (kinds.has('requests')) this.#requests.batch(trace, b);
    if (kinds.has('waits')) this.#takeWaits(b);
    this.#give();
  }

  /** Waits where the reader of the output is slower than we are. */
  async settle(): Promise<void> {
    if (this.#full) await once(this.#out, 'drain');
    this.#full = false;
  }

  async end(): Promise<void> {
    if (this.#kinds.has('states')) this.#states.finish((this.#window ?? wholeOf(this.#trace)).to);
    this.#give();
    this.#write(this.#writer.end());
    if (this.#out === process.stdout) await this.settle();
    else await new Promise<void>((resolve) => this.#out.end(resolve));
  }

  #give(): void {
    const rows = this.#rows;
    if (rows.length === 0) return;
    this.#rows = [];
    rows.sort((x, y) => x.begin + x.duration - y.begin - y.duration);
    this.count += rows.length;
    this.#write(this.#writer.rows(rows));
  }

  #write(bytes: Uint8Array | string): void {
    if (bytes.length > 0 && !this.#out.write(bytes)) this.#full = true;
  }

  #takeExits(b: EventBatch): void {
    const spans = this.#exits.batch(this.#trace as Trace, b);
    if (!this.#kinds.has('exits')) return;
    for (let k = 0; k < spans.count; k++) {
      this.#rows.push({
        ...blankRow,
        kind: 'exit',
        begin: spans.begin[k] as number,
        duration: spans.duration[k] as number,
        ...this.#vcpu(spans.thread[k] as number),
        cpu: spans.cpu[k] as number,
        reason: this.#exits.reasons.names[spans.reason[k] as number] as string,
      });
    }
  }

  #stretch(thread: number, state: number, begin: number, end: number): void {
    this.#rows.push({
      ...blankRow,
      kind: 'state',
      begin,
      duration: end - begin,
      ...this.#vcpu(thread),
      state: vcpuStates[state] as string,
    });
  }

  #filled({ request, facet, times, kicker }: Filled, b: EventBatch, i: number): undefined {
    const { queue, tid } = request;
    const { device } = queue;
    const kind = device?.kind;
    const pid = queue.machine.pid;
    this.#rows.push({
      ...blankRow,
      kind: 'request',
      begin: request.pop,
      duration: (b.time[i] as number) - request.pop,
      tid,
      pid: pid >= 0 ? pid : this.#processOf(tid),
      device:
        `${kind === undefined ? '' : `virtio-${kind} `}${device === undefined ? '' : hex64(device.high, device.low)}`.trim(),
      queue: queue.number,
      operation: operations[this.#requests.facets[facet]?.operation ?? 0] as string,
      vq: hex64(queue.high, queue.low),
      elem: hex64(request.high, request.low),
      kick: times[point.kick] as number,
      kicker,
    });
  }

  #takeWaits(b: EventBatch): void {
    const source = this.#waits;
    source.batch(this.#trace as Trace, b);
    for (let k = 0; k < source.count; k++) {
      const { begin, duration, mutex, site, tid, pid, behind } = source.make(k);
      const holder = behind.reduce((most, one) => (one.duration > most.duration ? one : most), {
        tid: -1,
        duration: 0,
      });
      this.#rows.push({
        ...blankRow,
        kind: 'wait',
        begin,
        duration,
        tid,
        pid: pid >= 0 ? pid : this.#processOf(tid),
        mutex,
        site,
        holder: holder.tid,
      });
    }
  }

  #vcpu(index: number): Pick<SpanRow, 'tid' | 'pid' | 'vcpu'> {
    const { tid, pid, vcpu } = this.#exits.threads[index] as VcpuThread;
    return { tid, pid: pid >= 0 ? pid : this.#processOf(tid), vcpu };
  }

  #processOf(tid: number): number {
    return this.#trace?.threads.get(tid)?.pid ?? -1;
  }
}
