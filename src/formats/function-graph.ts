import type { Clock } from '../trace/clock.ts';
import { groups } from '../trace/groups.ts';
import type { Format, OpenOptions } from './format.ts';
import type { Input } from './input.ts';
import { qualifiedName } from './kernel-text.ts';
import { holdsLine, type LineKind, type LineParts, line, mostCpus } from './line-parts.ts';
import { LineTrace } from './lines.ts';
import { NamesSeen } from './names-seen.ts';

/*
 * The text of the function_graph tracer (linux: kernel/trace/trace_functions_graph.c), whose columns the options funcgraph-abstime,
 * -cpu, -proc, -overhead, -duration and irq-info choose:
 *
 *       360.774522 |   0)  CPU 0/K-751  |  d..1. |               |  vcpu_enter_guest() {
 *       360.774523 |   0)  CPU 0/K-751  |  d..1. |               |    /* kvm_exit: vcpu 0 reason hlt … *\/
 *       360.774524 |   0)  CPU 0/K-751  |  d..1. | ! 113.664 us  |    svm_handle_exit();
 *       360.774638 |   0)  CPU 0/K-751  |  d..1. | @ 120140.1 us |  } /* vcpu_enter_guest *\/
 *     time           CPU   thread          flags   duration         function, or an event
 *
 * Functions are events, too: called `ftrace:funcgraph_entry` and `ftrace:funcgraph_exit` as in trace-cmd's recordings, a function that calls
 * none being one entry with its duration.
 */

export const functionGraph: Format = {
  name: 'function graph',
  recognise(head) {
    const graph = new GraphLine();
    return holdsLine(
      head,
      (bytes, start, end) => {
        const text = lineText(bytes, start, end);
        return tracerHeader.test(text) || (graph.parse(text) && graph.cpu >= 0 && graph.barred);
      },
      true,
    );
  },
  async open(input, options) {
    return new FunctionGraph(input, options);
  },
};

class FunctionGraph extends LineTrace {
  readonly format = 'function graph';
  override version = 'trace';
  readonly #graph = new GraphLine();
  #timed = false;
  #threads = false;
  #ordinal = 0;
  /** The thread that each CPU runs, as far as lines of switches tell. */
  readonly #running = new Map<number, { tid: number; comm: string }>();
  readonly #seen = new NamesSeen();

  constructor(input: Input, options: OpenOptions) {
    super(input, options);
    const graph = new GraphLine();
    holdsLine(
      input.head,
      (bytes, start, end) => {
        const text = lineText(bytes, start, end);
        if (graph.parse(text)) {
          if (graph.seconds >= 0) this.#timed = true;
          if (graph.tid >= 0) this.#threads = true;
        } else this.#switch(text, true);
        return false;
      },
      true,
    );
    const ids = this.#running.size > 0;
    this.describe();
    this.#ordinal = 0;
    if (!this.#timed)
      this.note(
        'The text has durations of functions, but no times: its events can be counted and stand in their order, and nothing else can be timed. To have times: echo 1 > options/funcgraph-abstime.',
      );
    if (!this.#threads)
      this.note(
        ids
          ? 'Threads are those that the lines of switches between them name; before the first such line of a CPU they are not known. To have one in each line: echo 1 > options/funcgraph-proc.'
          : 'The text does not say which threads its events are of, so that no two of them can be told to belong together. To have them: echo 1 > options/funcgraph-proc.',
      );
    else this.note("The tracer cuts threads' names to 7 characters.");
  }

  protected parse(start: number, end: number): LineKind {
    if (start === end) return line.known;
    const { bytes, parts } = this;
    const graph = this.#graph;
    const text = lineText(bytes, start, end);
    if (!graph.parse(text)) return this.#other(text);
    if (this.#timed && graph.seconds < 0) return line.unknown;
    if (this.#timed) {
      parts.seconds = graph.seconds;
      parts.rest = graph.rest;
      parts.decimals = graph.decimals;
    } else {
      parts.seconds = 0;
      parts.rest = this.#ordinal++;
      parts.decimals = 0;
    }
    parts.cpu = graph.cpu;
    parts.pid = -1;
    parts.tid = graph.tid >= 0 ? graph.tid : (this.#running.get(graph.cpu)?.tid ?? -1);
    parts.commStart = start + graph.commStart;
    parts.commEnd = start + graph.commEnd;
    setEvent(parts, start, end, graph, text);
    return line.event;
  }

  protected nameOf(name: string, sample: Uint8Array): string {
    if (name === '(') return 'ftrace:funcgraph_entry';
    if (name === '}') return 'ftrace:funcgraph_exit';
    if (name === '*') return 'ftrace:print';
    return qualifiedName(name, sample);
  }

  protected clockOf(): Clock {
    if (!this.#timed) return { name: 'none', unit: 'none', resolution: 1 };
    return { name: 'unknown', unit: 'ns', resolution: this.parts.decimals === 9 ? 1 : 1000 };
  }

  #other(text: string): LineKind {
    if (/^\s*-+\s*$|^#|[<=]={9,}[=>] ?\|/.test(text)) return line.known;
    const lost = /^CPU:(\d+) \[LOST (\d+) EVENTS\]$/.exec(text);
    if (lost !== null) {
      const cpu = Number(lost[1]);
      this.lost(cpu < mostCpus ? cpu : -1, Number.isSafeInteger(Number(lost[2])) ? Number(lost[2]) : undefined);
      return line.known;
    }
    return this.#switch(text, false) ? line.known : line.unknown;
  }

  /** ` 0)  qemu-sy-4154   =>   <idle>-0  `: another thread runs on the CPU from here on. `first` looks for who ran before. */
  #switch(text: string, first: boolean): boolean {
    const match = switchLine.exec(text);
    if (match === null) return false;
    const [, cpu, from, fromTid, to, toTid] = groups<[string, string, string, string, string, string]>(match);
    if (Number(cpu) >= mostCpus) return false;
    if (!first) this.#running.set(Number(cpu), { tid: Number(toTid), comm: to });
    else if (!this.#running.has(Number(cpu))) this.#running.set(Number(cpu), { tid: Number(fromTid), comm: from });
    for (const [id, comm] of [
      [fromTid, from],
      [toTid, to],
    ] as const) {
      const tid = Number(id);
      if (comm === '<...>') continue;
      if (!first) {
        if (this.#seen.see(tid, 0, Buffer.from(comm), 0, comm.length)) this.called(tid, comm);
      } else if (!this.threads.has(tid)) this.threads.name(tid, comm);
    }
    return true;
  }
}

/** Lines are looked at only so far. */
const longest = 8192;

function lineText(bytes: Uint8Array, start: number, end: number): string {
  const to = Math.min(end, start + longest);
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, to - start).toString('latin1');
}

const tracerHeader = /^# tracer: function_graph$/;
const switchLine = /^ *(\d{1,4})\) +(\S.{0,15}?)-(\d{1,7}) +=> +(\S.{0,15}?)-(\d{1,7})$/;

/** The columns before the function, each of them where its option is on: time, time since the beginning, CPU, thread, flags, duration. */
const columns =
  /^ *(?:(\d{1,11})\.(\d{6}(?:\d{3})?) *\| {1,4})?(?:\d{1,12} us *\| {1,4})?(?:(\d{1,4})\) ?)? *(?:(\S.{0,15}?)-(\d{1,7}) {0,14}\| {0,4})?(?:[dDXbB.][\w.#+]{2,6} {0,4}\|? )?(?:[$@*#!+ ]? *(\d{1,14}(?:\.\d{1,4})? us) *)? *(\| *)?/;
/** What follows: an event in a comment, a function that is entered, one that calls none, or the end of one. */
const eventBody = /^\/\* (?:((?:[a-z]\w*:)?[A-Za-z_]\w*): ?|(sys_\w+(?:\(| ->)))?/;
const entryBody = /^[A-Za-z_][\w.$]{0,255}(?: \[[\w-]{1,64}\])?\(.{0,4096}?\)(?: \{|;)/;
const exitBody = /^\}/;

/** The columns of a line, as offsets in it. */
class GraphLine {
  seconds = -1;
  rest = 0;
  decimals = 0;
  cpu = -1;
  tid = -1;
  commStart = 0;
  commEnd = 0;
  /** Where the duration stands, -1 where there is none; and where the function does. */
  duration = -1;
  body = 0;
  barred = false;
  kind: 'event' | 'print' | 'entry' | 'exit' = 'entry';
  nameStart = 0;
  nameEnd = 0;
  payload = 0;

  parse(text: string): boolean {
    const match = columns.exec(text);
    if (match === null) return false;
    const [whole, seconds, decimals, cpu, comm, tid, duration, bar] = match;
    const rest = text.slice(whole.length);
    const event = eventBody.exec(rest);
    if (event !== null) {
      if (!rest.endsWith('*/')) return false;
      const name = event[1] ?? event[2];
      this.kind = name === undefined ? 'print' : 'event';
      this.nameStart = whole.length + 3;
      this.nameEnd = this.nameStart + (name?.length ?? 0);
      this.payload = whole.length + event[0].length;
    } else if (entryBody.test(rest)) this.kind = 'entry';
    else if (exitBody.test(rest)) this.kind = 'exit';
    else return false;
    this.body = whole.length;
    this.barred = bar !== undefined;
    this.seconds = seconds === undefined ? -1 : Number(seconds);
    this.decimals = decimals?.length ?? 0;
    this.rest = Number((decimals ?? '').padEnd(9, '0'));
    this.cpu = cpu === undefined || Number(cpu) >= mostCpus ? -1 : Number(cpu);
    this.tid = tid === undefined ? -1 : Number(tid);
    this.commStart = comm === undefined ? 0 : text.indexOf(`${comm}-${tid}`);
    this.commEnd = comm === undefined ? 0 : this.commStart + comm.length;
    this.duration = duration === undefined ? -1 : text.lastIndexOf(duration, whole.length);
    return true;
  }
}

/** The event's name, which for functions is a character of theirs, and its payload: from the duration on where there is one. */
function setEvent(parts: LineParts, start: number, end: number, graph: GraphLine, text: string): void {
  const { kind, body, duration } = graph;
  parts.payloadEnd = end;
  if (kind === 'event' || kind === 'print') {
    parts.nameStart = start + (kind === 'event' ? graph.nameStart : body + 1);
    parts.nameEnd = kind === 'event' ? start + graph.nameEnd : parts.nameStart + 1;
    parts.payloadStart = start + graph.payload;
    // ` */`, and the space that trails some events.
    parts.payloadEnd = Math.max(parts.payloadStart, start + text.slice(0, -2).trimEnd().length);
    return;
  }
  parts.nameStart = start + (kind === 'exit' ? body : text.indexOf('(', body));
  parts.nameEnd = parts.nameStart + 1;
  parts.payloadStart = start + (duration < 0 ? body : duration);
}
