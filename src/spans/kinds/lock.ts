import type { Window } from '../../trace/analysis.ts';
import type { EventBatch } from '../../trace/batch.ts';
import type { EventType } from '../../trace/event-type.ts';
import type { Trace } from '../../trace/trace.ts';
import {
  detail,
  flag,
  hex,
  type Joining,
  length,
  number,
  type Readers,
  type RowOf,
  type SpanKind,
  type Spans,
  text,
  time,
} from '../kind.ts';
import { type Mutex, siteName } from '../lock-keys.ts';
import type { LockSpans } from '../lock-spans.ts';
import { Locks, type LocksPart } from '../locks.ts';
import { MadeSpans } from './made.ts';

const lockColumns = {
  begin: time('qemu_mutex_locked'),
  duration: length('until qemu_mutex_unlock'),
  cpu: number('CPU that it began on'),
  tid: number('the thread'),
  pid: number("QEMU's process"),
  mutex: hex('address of the mutex'),
  site: text('where it is locked: util/main-loop.c:305'),
};

/** Who had a mutex while another waited, where that had locked it, and for how much of the wait. */
type Behind = { tid: number; site: string; duration: number };

const waitColumns = {
  ...lockColumns,
  begin: time('qemu_mutex_lock'),
  duration: length('until qemu_mutex_locked'),
  contended: flag('another thread had the mutex at some moment of it'),
  heldByOthers: length('for how much of it another thread had the mutex'),
  holder: number('the thread that had it for the longest meanwhile'),
  behind: detail<Behind[]>('the threads that had it, where they locked it, and for how much of the wait'),
};

/** A hold of one of QEMU's mutexes, from qemu_mutex_locked to qemu_mutex_unlock. */
export type Lock = RowOf<typeof lockColumns>;
/** A wait for one, from qemu_mutex_lock to qemu_mutex_locked, and who had the mutex meanwhile. */
export type LockWait = RowOf<typeof waitColumns>;

/** Waits and holds come from the same events. */
class LockState extends MadeSpans {
  protected readonly locks = new Locks();
  protected readonly table: LockSpans;
  #from = 0;
  protected readonly maker = {
    wants: (type: EventType) => this.locks.wants(type),
    within: ({ from }: Window) => {
      this.#from = from;
    },
  };

  readonly joining: Joining = {
    inMiddle: () => this.locks.inMiddle(),
    part: () => this.locks.part(),
    accepts: (part) => this.locks.accepts(part as LocksPart),
    join: (trace, part) => this.#join(trace, part as LocksPart),
  };

  constructor(which: 'waits' | 'holds') {
    super();
    this.table = this.locks[which];
  }

  get seen(): boolean {
    return this.locks.counts.locked > 0 && this.locks.threads.length > 0;
  }

  batch(trace: Trace, b: EventBatch): void {
    this.trace = trace;
    this.locks.batch(trace, b);
    this.#leaveOut();
  }

  #join(trace: Trace, part: LocksPart): ReturnType<Joining['join']> {
    this.trace = trace;
    const { site } = this.locks.join(part);
    this.#leaveOut();
    return (column, id) => (column === 'site' ? (site[id] ?? -1) : id);
  }

  #leaveOut(): void {
    const from = this.#from;
    if (from > 0) this.table.filter((k) => (this.table.begin[k] as number) >= from);
  }

  protected readers(): Readers<typeof lockColumns> {
    const { table: spans, locks } = this;
    const mutex = (k: number) => locks.mutexes[spans.mutex[k] as number] as Mutex;
    const tid = (k: number) => this.tid(spans.thread[k] as number);
    return {
      begin: (k) => spans.begin[k] as number,
      duration: (k) => spans.duration[k] as number,
      cpu: (k) => spans.cpu[k] as number,
      tid,
      pid: (k) => {
        const { pid } = mutex(k);
        return pid >= 0 ? pid : (this.trace?.threads.get(tid(k))?.pid ?? -1);
      },
      mutex: { low: (k) => mutex(k).low, high: (k) => mutex(k).high },
      site: { id: (k) => spans.site[k] as number, name: (id) => this.site(id) },
    };
  }

  protected *unfinished(kind: 'wait' | 'hold'): Iterable<Partial<Lock> & { begin: number }> {
    const open = [...this.locks.unfinished()].filter((one) => one.kind === kind);
    for (const { begin, thread, site } of open.sort((a, b) => a.begin - b.begin)) {
      yield { begin, tid: this.tid(thread), site: this.site(site) };
    }
  }

  protected tid(thread: number): number {
    return this.locks.threads[thread]?.tid ?? -1;
  }

  protected site(site: number): string {
    const known = this.locks.sites[site];
    return known === undefined ? '' : siteName(known);
  }
}

class LockWaits extends LockState implements Spans<typeof waitColumns> {
  readonly read: Readers<typeof waitColumns>;

  constructor() {
    super('waits');
    const spans = this.table;
    this.read = {
      ...this.readers(),
      contended: (k) => spans.contended[k] === 1,
      heldByOthers: (k) => spans.held[k] as number,
      holder: (k) => this.#holder(k),
      behind: (k) => [...this.#stretches(k)].map((x) => this.#behind(x)),
    };
  }

  open(): Iterable<Partial<LockWait> & { begin: number }> {
    return this.unfinished('wait');
  }

  *#stretches(k: number): Iterable<number> {
    const end = this.table.lastStretch[k] as number;
    for (let x = this.table.firstStretch[k] as number; x < end; x++) yield x;
  }

  #holder(k: number): number {
    const { duration, thread } = this.locks.stretches;
    let longest = -1;
    for (const x of this.#stretches(k)) {
      if (longest < 0 || (duration[x] as number) > (duration[longest] as number)) longest = x;
    }
    return longest < 0 ? -1 : this.tid(thread[longest] as number);
  }

  #behind(x: number): Behind {
    const { thread, site, duration } = this.locks.stretches;
    return {
      tid: this.tid(thread[x] as number),
      site: this.site(site[x] as number),
      duration: duration[x] as number,
    };
  }
}

class LockHolds extends LockState implements Spans<typeof lockColumns> {
  readonly read: Readers<typeof lockColumns>;

  constructor() {
    super('holds');
    this.read = this.readers();
  }

  open(): Iterable<Partial<Lock> & { begin: number }> {
    return this.unfinished('hold');
  }
}

const needs = 'qemu:qemu_mutex_lock, qemu_mutex_locked and qemu_mutex_unlock, with threads';

export const lockWait = {
  name: 'lockWait',
  word: 'wait',
  plural: 'waits',
  meaning: 'a thread of QEMU waits for a mutex: qemu_mutex_lock → qemu_mutex_locked',
  needs,
  wanted: { purposes: ['locks'] },
  columns: waitColumns,
  by: ['site'],
  start: (): Spans<typeof waitColumns> => new LockWaits(),
} as const satisfies SpanKind<typeof waitColumns>;

export const lockHold = {
  name: 'lockHold',
  word: 'hold',
  plural: 'holds',
  meaning: 'a thread of QEMU holds a mutex: qemu_mutex_locked → qemu_mutex_unlock',
  needs,
  wanted: { purposes: ['locks'] },
  columns: lockColumns,
  by: ['site'],
  frequent: true,
  start: (): Spans<typeof lockColumns> => new LockHolds(),
} as const satisfies SpanKind<typeof lockColumns>;
