import { UsageError } from '../analyse/usage-error.ts';
import type { EventBatch } from '../trace/batch.ts';
import type { EventType } from '../trace/event-type.ts';
import type { Loss } from '../trace/loss.ts';
import { timestamps } from '../trace/time-stamp.ts';
import type { Trace } from '../trace/trace.ts';
import { escapeText } from './escape.ts';
import { chainText } from './event-line.ts';

/** Writes events, and what was lost between them, for other tools to read. Each call gives what is to be written, which may be nothing yet. */
export type EventFileWriter = {
  event(trace: Trace, b: EventBatch, i: number): string;
  loss(trace: Trace, loss: Loss): string;
};

/** The text of tracefs' `trace`, with its irq-info off: `comm-tid [cpu] time: event: fields`. */
export function ftraceEvents(): EventFileWriter {
  const stamp = stamps();
  let begun = false;
  const begin = (trace: Trace): string => {
    if (begun) return '';
    begun = true;
    const cpus = trace.cpus === undefined ? '' : ` #P:${trace.cpus}`;
    return `# tracer: nop\n#\n# written by virtap${cpus}\n#\n#           TASK-PID     CPU#     TIMESTAMP  FUNCTION\n#              | |         |         |         |\n`;
  };
  return {
    event(trace, b, i) {
      const type = trace.types[b.type[i] as number] as EventType;
      const tid = threadOf(type, b, i);
      const comm = trace.threads.get(tid)?.comm || (tid === 0 ? '<idle>' : '<...>');
      const cpu = b.cpu[i] as number;
      if (tid < 0 || cpu < 0) {
        const lacks = tid < 0 ? 'thread' : 'CPU';
        throw new UsageError(
          `${trace.file}: ${type.name} is of no known ${lacks}, which ftrace text has in each line: use --to perf-script`,
        );
      }
      const [system, name = system] = type.name.split(':');
      // QEMU's events as probes on it are: `(address)` and the arguments.
      const probe = system === 'qemu' ? '(0x0) ' : '';
      const text = system === 'ftrace' && name === 'print' ? 'tracing_mark_write' : name;
      const pid = processOf(trace, b, i);
      const process = pid < 0 ? '' : ` (${String(pid).padStart(7)})`;
      const who = `${escapeText(comm).padStart(16)}-${String(tid).padEnd(7)}`;
      return `${begin(trace)}${who}${process} [${String(cpu).padStart(3, '0')}] ${stamp(trace, b.time[i] as number).padStart(19)}: ${escapeText(`${text}: ${probe}${type.layout.print(b, i)}`)}\n`;
    },
    loss(trace, { cpu, count }) {
      const where = cpu < 0 ? '' : `CPU:${cpu} `;
      return `${begin(trace)}${where}[LOST ${count === undefined ? '' : `${count} `}EVENTS]\n`;
    },
  };
}

/** The text of `perf script`: `comm tid [cpu] time: system:event: fields`. */
export function perfScriptEvents(): EventFileWriter {
  const stamp = stamps();
  const line = (comm: string, id: string, cpu: number, time: string, text: string): string => {
    const where = cpu < 0 ? '' : ` [${String(cpu).padStart(3, '0')}]`;
    return `${escapeText(comm).padStart(16)} ${id.padStart(7)}${where} ${time.padStart(19)}: ${escapeText(text)}\n`;
  };
  return {
    event(trace, b, i) {
      const type = trace.types[b.type[i] as number] as EventType;
      const tid = b.tid[i] as number;
      const thread = trace.threads.get(tid);
      const pid = processOf(trace, b, i);
      const comm = thread?.comm || (tid === 0 ? 'swapper' : `:${tid}`);
      const id = pid >= 0 ? `${pid}/${tid}` : String(tid);
      const text = `${type.name}: ${type.layout.print(b, i)}`;
      return line(comm, id, b.cpu[i] as number, stamp(trace, b.time[i] as number), text) + chainText(type, b, i);
    },
    loss(trace, { to, cpu, count }) {
      const time = Number.isFinite(to) ? to : Math.max(0, trace.last);
      return line('perf', '-1', cpu, stamp(trace, time), `PERF_RECORD_LOST lost ${count ?? 1}`);
    },
  };
}

/** The thread of an event. perf knows none of one that is gone: the kernel's own record says which it was. */
function threadOf(type: EventType, b: EventBatch, i: number): number {
  const tid = b.tid[i] as number;
  return tid >= 0 ? tid : (type.reader('common_pid')?.number(b, i) ?? tid);
}

/** The process of an event's thread, -1 where nobody says. */
export function processOf(trace: Trace, b: EventBatch, i: number): number {
  const pid = b.pid[i] as number;
  return pid >= 0 ? pid : (trace.threads.get(b.tid[i] as number)?.pid ?? -1);
}

/** Time stamps of a trace; a merged trace's origin is known only with its first batch. */
function stamps(): (trace: Trace, offset: number) => string {
  let write: ((offset: number) => string) | undefined;
  return (trace, offset) => {
    write ??= timestamps(trace.origin, trace.clock.unit);
    return write(offset);
  };
}
