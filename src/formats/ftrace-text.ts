import type { Clock } from '../trace/clock.ts';
import { groups } from '../trace/groups.ts';
import { bareText } from './bare-text.ts';
import type { Format, OpenOptions } from './format.ts';
import type { Input } from './input.ts';
import { qualifiedName } from './kernel-text.ts';
import { holdsLine, isName, type LineKind, LineParts, line, mostCpus, parseNumber, parseTime } from './line-parts.ts';
import { LineTrace } from './lines.ts';
import { digitValue, indexOf, startsWith } from './text-field.ts';
import { decodeText } from './text-reader.ts';
import type { LineTeller } from './wrapped-text.ts';

/*
 * The text of tracefs' `trace` and `trace_pipe` (linux: kernel/trace/trace_output.c, trace.c) and of `trace-cmd report`
 * (trace-cmd: tracecmd/trace-read.c; libtraceevent: event-parse.c), whose lines are of one family:
 *
 *     CPU 0/KVM-966     (    961) [001] d..1.  1144.323531: kvm_entry: vcpu 0, rip 0xffffffffac5a9273
 *     comm      tid      process  CPU   flags  time         event      fields
 *
 * The process stands there with the option record-tgid, the flags with irq-info (and in trace-cmd from 3.3 on). The latency
 * format has `CPU 0/KV-966       1d..1.` in place of these. The time is `seconds.microseconds`, `seconds.nanoseconds`
 * (trace-cmd report -t), a bare integer for clocks that do not count nanoseconds, which trace-cmd prints without a space
 * before it, or microseconds since the first event (latency format).
 */

export const ftraceText: Format = {
  name: 'ftrace text',
  recognise(head) {
    const parts = new LineParts();
    if (holdsLine(head, (bytes, start, end) => parseEvent(bytes, start, end, parts))) return true;
    // A trace without events has its header all the same, as has one whose events have nothing before their names (nocontext-info).
    const hasHeader = holdsLine(head, (bytes, start, end) => startsWith(bytes, start, end, tracerHeader), true);
    return hasHeader && !bareText.recognise(head);
  },
  async open(input, options) {
    return new FtraceText(input, options);
  },
};

const lines: LineTeller = {
  event: (bytes, start, end) => (parseEvent(bytes, start, end, told) ? told : undefined),
  own: () => false,
};
const told = new LineParts();

class FtraceText extends LineTrace {
  readonly format = 'ftrace text';

  readonly #numbered: boolean;
  #unnamed = false;

  constructor(input: Input, options: OpenOptions) {
    super(input, options, lines);
    this.#numbered = numbersEvents(input.head);
    this.describe();
  }

  protected parse(start: number, end: number): LineKind {
    const bytes = this.bytes;
    if (start === end) return line.known;
    return parseEvent(bytes, start, end, this.parts) ? line.event : this.#other(start, end);
  }

  protected nameOf(name: string, sample: Uint8Array): string {
    if (name === 'print' || name === 'tracing_mark_write') return 'ftrace:print';
    // The kernel prints system calls as `sys_ioctl(fd: d, …)` and `sys_ioctl -> 0x0`.
    const call = /^sys_(\w+)(\(| ->)$/.exec(name);
    if (call !== null) return `syscalls:sys_${call[2] === '(' ? 'enter' : 'exit'}_${call[1]}`;
    if (name === '<-') return 'ftrace:function';
    if (name === '<stack trace>') return 'ftrace:kernel_stack';
    if (name === '<user stack trace>') return 'ftrace:user_stack';
    return qualifiedName(name, sample);
  }

  protected clockOf(): Clock {
    const { decimals, seconds } = this.parts;
    if (decimals === microseconds) return { name: 'relative', unit: 'ns', resolution: 1000 };
    if (decimals > 0) return { name: 'unknown', unit: 'ns', resolution: decimals === 9 ? 1 : 1000 };
    // Nothing but the time of day in ns is in this range (the years 2001 to 2096): a TSC would need decades to get there.
    if (seconds >= 1e9 && seconds < 4e9) return { name: 'tai', unit: 'ns', resolution: 1 };
    if (this.#numbered) {
      this.note(
        'The times are bare integers that number the events: the clock was counter, which measures no time. To have times record with the mono clock: trace-cmd record -C mono, or echo mono > trace_clock.',
      );
      return { name: 'counter', unit: 'ticks', resolution: 1 };
    }
    this.note(
      'The times are bare integers: the clock was x86-tsc, counter, or in trace-cmd also boot, and the text does not say what one unit is. Times are given in ticks; to have nanoseconds record with the mono clock: trace-cmd record -C mono, or echo mono > trace_clock.',
    );
    return { name: 'unknown', unit: 'ticks', resolution: 1 };
  }

  /** Lines that are no events: headers, markers of losses, stack traces. */
  #other(start: number, end: number): LineKind {
    const bytes = this.bytes;
    let p = start;
    while (p < end && (bytes[p] === 0x20 || bytes[p] === 0x09)) p++;
    // ` => do_syscall_64`, of a stack trace.
    if (p === end) return line.known;
    if (startsWith(bytes, p, end, arrow)) return line.frame;
    if (end - p > 1000) return line.unknown;
    if (!this.#unnamed && nameless.test(decodeText(bytes, p, Math.min(end, p + 100)))) {
      this.#unnamed = true;
      this.note(
        'The text was printed with the trace option raw, hex or bin, which leaves out the names of events and fields: `echo 0 > options/raw` (hex, bin) in tracefs, and read trace again.',
      );
    }
    const c = bytes[p] as number;
    // Of the letters that such lines begin with, no others need to be looked at as strings.
    if (c === 0x23 || c === 0x43 || c === 0x5b || c === 0x63 || c === 0x76 || c === 0x74)
      return this.#header(decodeText(bytes, p, end));
    return line.unknown;
  }

  #header(text: string): LineKind {
    let match = /^#+ CPU (\d+) buffer started/.exec(text);
    if (match !== null) {
      // Printed only where the buffer overran (kernel/trace/trace.c: test_cpu_buff_start).
      this.lost(cpuOf(match[1]), undefined, true);
      return line.known;
    }
    if (text.startsWith('#')) {
      this.#comment(text);
      return line.known;
    }
    match = /^(?:CPU:(\d+) )?\[(?:LOST )?(?:(\d+) )?EVENTS(?: DROPPED)?\]$/.exec(text);
    if (match !== null && /LOST|DROPPED/.test(text)) {
      const count = Number(match[2]);
      this.lost(cpuOf(match[1]), Number.isSafeInteger(count) ? count : undefined);
      return line.known;
    }
    match = /^cpus=(\d+)$/.exec(text);
    if (match !== null) {
      this.#cpus(match[1] as string);
      this.version = 'trace-cmd report';
      return line.known;
    }
    if (/^(version = \d+|CPU \d+ is empty|CPU:\d+ \[SUBBUFFER START\].*|trace-cmd: .*|\[vdso\].*)$/.test(text))
      return line.known;
    return line.unknown;
  }

  #comment(text: string): void {
    // The kernel's own count, in the usual header and in that of the latency format.
    const entries = /^# (?:entries-in-buffer\/entries-written: |latency: .*?, #)(\d+)\/(\d+)\b/.exec(text);
    if (entries !== null) {
      const [, inBuffer, written] = groups<[string, string, string]>(entries);
      const gone = Number(written) - Number(inBuffer);
      if (gone > 0 && Number.isSafeInteger(gone)) {
        this.lost(-1, gone, true);
        this.note(
          `The ring buffer was too small: of ${written} events it kept the last ${inBuffer}. Record with a larger one (buffer_size_kb, or trace-cmd record -b), or read trace_pipe meanwhile.`,
        );
      }
    }
    const cpus = /#P:(\d+)\)?$/.exec(text);
    if (cpus !== null) this.#cpus(cpus[1] as string);
    const tracer = /^# tracer: (\S+)/.exec(text);
    if (tracer !== null) this.version = 'trace';
    if (/^#\s+cmd\s+pid\s/.test(text))
      this.note(
        'This is the latency format: it cuts the names of threads to 8 characters, and times are whole microseconds.',
      );
  }

  #cpus(digits: string): void {
    if (Number(digits) <= mostCpus) this.cpus = Number(digits);
  }
}

/** Events looked at to tell a clock that numbers them, how many it takes, and by how much it goes on at most: a TSC's cycles are hundreds. */
const lookedAt = 256;
const enoughNumbered = 2;
const mostBetween = 16;

/** What people write above text of which they know the clock: `# clock: counter`. */
const clockComment = /^#[ \t]*(?:trace[_ ]?)?clock[ \t]*[:=][ \t]*([\w-]+)/im;

/** Whether the times of an input's first events are bare integers that number them: each is more than the last, by little; or somebody says so. */
function numbersEvents(head: Uint8Array): boolean {
  const said = clockComment.exec(
    Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, 4096)).toString('latin1'),
  );
  if (said !== null) return said[1] === 'counter';
  const parts = new LineParts();
  const between: number[] = [];
  let last = Number.NaN;
  let events = 0;
  holdsLine(
    head,
    (bytes, start, end) => {
      if (!parseEvent(bytes, start, end, parts)) return false;
      const time = parts.decimals === 0 ? parts.seconds * 1e9 + parts.rest : Number.NaN;
      if (events++ > 0) between.push(time - last);
      last = time;
      return events === lookedAt;
    },
    true,
  );
  between.sort((a, b) => a - b);
  const median = between[between.length >> 1] ?? Number.NaN;
  return events >= enoughNumbered && (between[0] as number) > 0 && median <= mostBetween;
}

/** Stands in `decimals` for times of the latency format: microseconds since the first event. */
const microseconds = -6;

const tracerHeader = Buffer.from('# tracer: ');
const arrow = Buffer.from('=> ');
const stackTrace = Buffer.from('<stack trace>');
const userStackTrace = Buffer.from('<user stack trace>');
const system = Buffer.from('sys_');

function cpuOf(digits: string | undefined): number {
  const cpu = digits === undefined ? -1 : Number(digits);
  return cpu < mostCpus ? cpu : -1;
}

const number = { value: 0 };

/** Reads one line into `parts`; false where it is no event. */
export function parseEvent(bytes: Uint8Array, start: number, end: number, parts: LineParts): boolean {
  const limit = Math.min(end, start + 200);
  for (let p = start + 3; p < limit; p++) {
    if (bytes[p] !== 0x5b) continue;
    const time = parseBracket(bytes, start, p, end, parts);
    if (time >= 0 && parseFields(bytes, time, end, parts)) return true;
  }
  let time = parseLatency(bytes, start, limit, end, parts);
  if (time < 0) time = parseVerbose(bytes, start, limit, parts);
  return time >= 0 && parseFields(bytes, time, end, parts);
}

/** The line's start up to its time, where `[` at `bracket` is that of the CPU. Gives where the time ends, or -1. */
function parseBracket(bytes: Uint8Array, start: number, bracket: number, end: number, parts: LineParts): number {
  let p = parseNumber(bytes, bracket + 1, end, number);
  if (p === bracket + 1 || bytes[p] !== 0x5d || number.value >= mostCpus) return -1;
  parts.cpu = number.value;
  if (!parseThread(bytes, start, bracket, parts)) return -1;
  p++;
  if (bytes[p] === 0x2d && bytes[p + 1] === 0x30 && bytes[p + 2] === 0x78) {
    // trace-cmd report -R from 3.3 on: the flags as a number.
    return parseRawFlags(bytes, p + 3, end, parts);
  }
  while (p < end && bytes[p] === 0x20) p++;
  const c = bytes[p] as number;
  return c >= 0x30 && c <= 0x39 ? colonAfter(bytes, parseTime(bytes, p, end, parts)) : parseFlags(bytes, p, end, parts);
}

/** The flags at `p`, and the time that follows them: without a space where it has 12 digits or more (trace-cmd). */
function parseFlags(bytes: Uint8Array, start: number, end: number, parts: LineParts): number {
  let p = start;
  while (p < end && p < start + 12 && isFlag(bytes[p] as number)) p++;
  if (p === start) return -1;
  if (bytes[p] === 0x20) {
    while (p < end && bytes[p] === 0x20) p++;
    return colonAfter(bytes, parseTime(bytes, p, end, parts));
  }
  // irqs-off, need-resched, hardirq, preempt depth and migrate-disable are one character each, then there may be dots.
  p = start + 5;
  while (p < end && bytes[p] === 0x2e) p++;
  return colonAfter(bytes, parseTime(bytes, p, end, parts));
}

/**
 * Flags of one or two hexadecimal digits and the time. Where nothing stands between them they are told apart by the time's length, which is
 * that of the line before.
 */
function parseRawFlags(bytes: Uint8Array, start: number, end: number, parts: LineParts): number {
  let p = start;
  while (p < end && (digitValue[bytes[p] as number] as number) < 16) p++;
  if (p === start) return -1;
  if (bytes[p] === 0x20) {
    while (p < end && bytes[p] === 0x20) p++;
    return colonAfter(bytes, parseTime(bytes, p, end, parts));
  }
  const before = parts.decimals === 0 ? parts.seconds : -1;
  const time = colonAfter(bytes, parseTime(bytes, start + 1, end, parts));
  if (time < 0 || bytes[start] === 0x30 || before < 0 || parts.seconds <= before * 2 + 2) return time;
  return colonAfter(bytes, parseTime(bytes, start + 2, end, parts));
}

/** What the options raw and hex print of an event: thread, CPU, time and the number of its type. */
const nameless = /^[\da-f]+ [\da-f]+ [\da-f]+ type: \d+$/;

/** The latency format with the option verbose: `CPU 0/KVM   966   1 9 00000003 00000000 [648c061bc] 35.997ms (+0.010ms): `, with all microseconds in brackets. */
const verbose =
  /^[ >|]*(.{1,15}?) +(\d{1,7}) +(\d{1,4}) [\da-f]+ [\da-f]{8} [\da-f]{8} \[([\da-f]{1,13})\] -?\d+\.\d{3}ms \([+!#*@$]?-?\d+\.\d{3}ms\): /;

function parseVerbose(bytes: Uint8Array, start: number, limit: number, parts: LineParts): number {
  if (indexOf(bytes, start, limit, inMilliseconds) < 0) return -1;
  const found = verbose.exec(Buffer.from(bytes.buffer, bytes.byteOffset + start, limit - start).toString('latin1'));
  if (found === null) return -1;
  const [all, comm, tid, cpu, time] = groups<[string, string, string, string, string]>(found);
  const value = Number(`0x${time}`);
  parts.seconds = Math.floor(value / 1e6);
  parts.rest = (value - parts.seconds * 1e6) * 1000;
  parts.decimals = 6;
  parts.tid = Number(tid);
  parts.pid = -1;
  parts.cpu = Number(cpu) < mostCpus ? Number(cpu) : -1;
  parts.commStart = start + all.indexOf(comm);
  parts.commEnd = parts.commStart + comm.length;
  return start + all.length;
}

const inMilliseconds = Buffer.from('ms (');

/** The latency format, which has no brackets: `CPU 0/KV-966       1d..1.   12us : ` or, by trace-cmd, with its usual time. */
function parseLatency(bytes: Uint8Array, start: number, limit: number, end: number, parts: LineParts): number {
  for (let dash = start + 1; dash < limit; dash++) {
    if (bytes[dash] !== 0x2d) continue;
    let p = parseNumber(bytes, dash + 1, end, number);
    if (p === dash + 1) continue;
    const tid = number.value;
    let q = p;
    while (q < end && bytes[q] === 0x20) q++;
    if (q === p) continue;
    p = parseNumber(bytes, q, end, number);
    const flag = bytes[p] as number;
    if (p === q || number.value >= mostCpus || !startsFlags(flag)) continue;
    parts.cpu = number.value;
    const time = parseFlags(bytes, p, end, parts);
    const marked = time < 0 ? parseMicroseconds(bytes, p, end, parts) : time;
    if (marked < 0) continue;
    parts.tid = tid;
    parts.pid = -1;
    setComm(bytes, start, dash, parts);
    return marked;
  }
  return -1;
}

/** `12us : ` after the flags; the sign before the colon says how long it was until the next event. */
function parseMicroseconds(bytes: Uint8Array, flags: number, end: number, parts: LineParts): number {
  let p = flags;
  while (p < end && isFlag(bytes[p] as number)) p++;
  while (p < end && bytes[p] === 0x20) p++;
  const first = p;
  let value = 0;
  for (; p < end && p < first + 15; p++) {
    const digit = (bytes[p] as number) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  if (p === first || bytes[p] !== 0x75 || bytes[p + 1] !== 0x73 || bytes[p + 3] !== 0x3a) return -1;
  parts.seconds = Math.floor(value / 1e6);
  parts.rest = (value - parts.seconds * 1e6) * 1000;
  parts.decimals = microseconds;
  return p + 4;
}

/** What stands before the CPU: `comm-tid`, and with record-tgid `(process)`, of which dashes are none. */
function parseThread(bytes: Uint8Array, start: number, bracket: number, parts: LineParts): boolean {
  let p = bracket - 1;
  while (p > start && bytes[p] === 0x20) p--;
  parts.pid = -1;
  if (bytes[p] === 0x29) {
    let open = p;
    while (open > start && bytes[open] !== 0x28) open--;
    let digits = open + 1;
    while (digits < p && bytes[digits] === 0x20) digits++;
    if (parseNumber(bytes, digits, p, number) === p && digits < p) parts.pid = number.value;
    else if (bytes[digits] !== 0x2d) return false;
    p = open - 1;
    while (p > start && bytes[p] === 0x20) p--;
  }
  const last = p + 1;
  while (p > start && (bytes[p] as number) >= 0x30 && (bytes[p] as number) <= 0x39) p--;
  if (bytes[p] !== 0x2d || p + 1 === last) return false;
  if (parseNumber(bytes, p + 1, last, number) !== last) return false;
  parts.tid = number.value;
  setComm(bytes, start, p, parts);
  return true;
}

/** The thread's name ends at `end`. Before it there may be quote signs of a mail, or the name of one of several files. */
function setComm(bytes: Uint8Array, start: number, end: number, parts: LineParts): void {
  let p = start;
  while (p < end && (bytes[p] === 0x20 || bytes[p] === 0x09)) p++;
  // The kernel's names have 15 bytes at most: what is longer has something before it that two spaces end, or `> `.
  if (end - p > 15) {
    for (let q = end - 1; q > p; q--) {
      if (bytes[q - 1] === 0x20 && (bytes[q] === 0x20 || bytes[q - 2] === 0x3a || bytes[q - 2] === 0x3e)) {
        p = bytes[q] === 0x20 ? q + 1 : q;
        break;
      }
    }
  } else
    while (end - p > 2 && bytes[p] === 0x3e && bytes[p + 1] === 0x20) for (p += 2; p < end && bytes[p] === 0x20; ) p++;
  parts.commStart = p;
  parts.commEnd = end;
}

/** The event's name and fields after the time and its colon. */
function parseFields(bytes: Uint8Array, time: number, end: number, parts: LineParts): boolean {
  let p = time;
  while (p < end && bytes[p] === 0x20) p++;
  if (bytes[p] === 0x28 && bytes[p + 1] === 0x2b) {
    // trace-cmd report --ts-diff: (+123) since the last event.
    while (p < end && bytes[p] !== 0x20) p++;
    while (p < end && bytes[p] === 0x20) p++;
  }
  const name = p;
  while (p < end && bytes[p] !== 0x3a && bytes[p] !== 0x20 && bytes[p] !== 0x28) p++;
  if (p === name) return false;
  let payload = p + 1;
  if (p < end && bytes[p] === 0x3a && (payload === end || bytes[payload] === 0x20)) {
    if (!isName(bytes, name, p)) return false;
    parts.nameStart = name;
    parts.nameEnd = p;
  } else if (startsWith(bytes, name, end, system) && bytes[p] === 0x28 && isName(bytes, name, p)) {
    // The fields end with the parenthesis of the call.
    parts.nameStart = name;
    parts.nameEnd = p + 1;
    if (bytes[end - 1] === 0x29) end--;
  } else if (startsWith(bytes, name, end, system) && startsWith(bytes, p, end, returns) && isName(bytes, name, p)) {
    parts.nameStart = name;
    parts.nameEnd = p + 3;
    payload = p + 3;
  } else if (startsWith(bytes, name, end, stackTrace) || startsWith(bytes, name, end, userStackTrace)) {
    parts.nameStart = name;
    parts.nameEnd = end;
    payload = end;
  } else if (startsWith(bytes, p, end, calledFrom)) {
    // The function tracer: `vfs_read <-ksys_read`. All functions are one type.
    parts.nameStart = p + 1;
    parts.nameEnd = p + 3;
    payload = name;
  } else return false;
  while (payload < end && bytes[payload] === 0x20) payload++;
  parts.payloadStart = payload;
  parts.payloadEnd = end;
  return true;
}

const returns = Buffer.from(' -> ');
const calledFrom = Buffer.from(' <-');

/** Where the time at hand ends, after its colon; -1 where it has none. */
function colonAfter(bytes: Uint8Array, time: number): number {
  return time > 0 && bytes[time] === 0x3a ? time + 1 : -1;
}

/** Letters, digits and dots: what flags are written with. */
function isFlag(c: number): boolean {
  return c === 0x2e || (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x5a) || (c >= 0x61 && c <= 0x7a) || c === 0x23;
}

/** Flags begin with one of `dDbX.`: nothing else stands right after a CPU's number. */
function startsFlags(c: number): boolean {
  return c === 0x2e || c === 0x64 || c === 0x44 || c === 0x62 || c === 0x58;
}
