import type { EventBatch } from '../trace/batch.ts';
import type { EventType, FieldReader } from '../trace/event-type.ts';
import { grown } from '../trace/grown.ts';
import type { Trace } from '../trace/trace.ts';
import { isEntry, isExit } from './exit-events.ts';

/** One event within a span, as text. */
export type InnerEvent = {
  /** Since the span's beginning, in the clock's unit. */
  offset: number;
  cpu: number;
  /** `kvm:kvm_pio`, `sched:sched_switch`, `qemu:memory_region_ops_read`. */
  name: string;
  /** As the usual tool for the trace's format prints it. From the trace: untrusted. */
  text: string;
  /** For the scheduler's events: what this one did to the span's thread, and the same with the other thread, for people. */
  effect: 'switched out' | 'switched in' | 'woken' | 'being woken' | undefined;
  brief: string | undefined;
};

/** What an event is to a thread's span; `subject` reads the tid of another thread that it concerns. */
export type InnerKind = {
  what: 'exit' | 'entry' | 'switch' | 'waking' | 'wakeup' | 'qemu' | 'event';
  subject: FieldReader | undefined;
};

/** What most events are, for loops that are in haste: `ofOthers` have a subject. */
export const innerCodes = { other: 0, exit: 1, entry: 2, qemu: 3, ofOthers: 4 } as const;

/** What the events of a trace are to the threads that they are of, or concern. */
export class InnerKinds {
  /** By type id; and as codes. */
  readonly all: InnerKind[] = [];
  codes = new Uint8Array(64);

  learn(trace: Trace): void {
    for (let id = this.all.length; id < trace.types.length; id++) {
      const type = trace.types[id] as EventType;
      if (isExit(type)) this.all.push({ what: 'exit', subject: undefined });
      else if (isEntry(type)) this.all.push({ what: 'entry', subject: undefined });
      else if (type.name === 'sched:sched_switch') this.all.push({ what: 'switch', subject: type.reader('next_pid') });
      else if (/^sched:sched_(waking|wakeup|wakeup_new)$/.test(type.name)) {
        this.all.push({ what: type.name.endsWith('waking') ? 'waking' : 'wakeup', subject: type.reader('pid') });
      } else this.all.push({ what: type.name.startsWith('qemu:') ? 'qemu' : 'event', subject: undefined });
      if (id === this.codes.length) this.codes = grown(this.codes);
      const { what, subject } = this.all[id] as InnerKind;
      const known = what === 'exit' || what === 'entry' || what === 'qemu' ? innerCodes[what] : innerCodes.other;
      this.codes[id] = subject === undefined ? known : innerCodes.ofOthers;
    }
  }

  /** Event `i` as text, as seen by the thread `tid`, in a span that began at `begin`. */
  describe(trace: Trace, tid: number, b: EventBatch, i: number, begin: number): InnerEvent {
    const id = b.type[i] as number;
    const type = trace.types[id] as EventType;
    const { what, subject } = this.all[id] as InnerKind;
    const concerned = subject?.number(b, i) === tid;
    const text = type.layout.print(b, i);
    const comm = (name: string) => type.reader(name)?.text(b, i) || '?';
    const pid = (name: string) => type.reader(name)?.text(b, i) || '?';
    let effect: InnerEvent['effect'];
    let brief: string | undefined;
    if (what === 'switch') {
      effect = concerned ? 'switched in' : 'switched out';
      // The letters of the state depend on the kernel's version: they are as printed, `prev_state=R+` or `[120] R+ ==>`.
      const state = /prev_state=(\S+)|\] (\S+) ==>/.exec(text);
      brief = concerned
        ? `in, after ${comm('prev_comm')} (${pid('prev_pid')})`
        : `out (${state?.[1] ?? state?.[2] ?? 'state unknown'}), next is ${comm('next_comm')} (${pid('next_pid')})`;
    } else if (concerned) {
      effect = what === 'waking' ? 'being woken' : 'woken';
      const waker = b.tid[i] as number;
      const name = trace.threads.get(waker)?.comm ?? '';
      brief = `${effect} by ${waker === 0 ? 'an idle CPU' : `${name} (${waker})`}`;
    }
    return {
      offset: (b.time[i] as number) - begin,
      cpu: b.cpu[i] as number,
      name: type.name,
      text,
      effect,
      brief,
    };
  }
}
