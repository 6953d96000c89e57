import type { Clock } from '../trace/clock.ts';
import type { Traits } from '../trace/trace.ts';
import type { Format, OpenOptions } from './format.ts';
import type { Input } from './input.ts';
import { qualifiedName } from './kernel-text.ts';
import { holdsLine, isName, type LineKind, LineParts, line, mostCpus, parseNumber, parseTime } from './line-parts.ts';
import { LineTrace } from './lines.ts';
import { digitValue, startsWith } from './text-field.ts';
import { decodeText } from './text-reader.ts';
import type { LineTeller } from './wrapped-text.ts';

/*
 * The text of `perf script` (linux: tools/perf/builtin-script.c, perf_sample__fprintf_start and process_event):
 *
 *     CPU 0/KVM  1254 [001]  1295.189175: kvm:kvm_exit: vcpu 0 reason npf rip 0xffffffff91a70c26 …
 *     comm        tid  CPU   time         event         fields
 *
 * With -F other columns can be missing (comm, CPU), or there: the process as PID/TID, letters for the mode (K, U) before the
 * time, the period before the event. Each event's
 * call chain, if any, follows it in indented lines, ended by an empty one.
 */

export const perfScript: Format = {
  name: 'perf script',
  recognise(head) {
    const parts = new LineParts();
    if (holdsLine(head, (bytes, start, end) => parseEvent(bytes, start, end, parts))) return true;
    return startsWith(head, 0, head.length, headerStart);
  },
  async open(input, options) {
    return new PerfScript(input, options);
  },
};

const lines: LineTeller = {
  event: (bytes, start, end) => (parseEvent(bytes, start, end, told) ? told : undefined),
  own: isChain,
};
const told = new LineParts();

class PerfScript extends LineTrace {
  readonly format = 'perf script';
  override readonly traits: Traits = { recorder: 'perf', hidesGuestSamples: true };
  /** What `perf script --header` says of the clock; undefined where there is no header. */
  #clock: string | undefined;

  /** Whether the one id in each line is the process: perf script -F pid. */
  readonly #processes: boolean;
  /** Whether times are those between events: perf script --deltatime. Then each event has its number instead. */
  readonly #deltas: boolean;
  #ordinal = 0;

  constructor(input: Input, options: OpenOptions) {
    super(input, options, lines);
    const inChain = (bytes: Uint8Array, start: number, end: number) =>
      isChain(bytes, start, end) && !parseEvent(bytes, start, end, told);
    if (holdsLine(input.head, inChain)) this.inChain = inChain;
    this.#processes = namesProcesses(input.head);
    if (this.#processes)
      this.note(
        'The ids are those of processes (perf script -F pid): which thread an event is of is not told; perf script -F +tid tells it.',
      );
    this.#deltas = hasDeltas(input.head);
    if (this.#deltas)
      this.note(
        'The times are those between one event and the next, rounded (perf script --deltatime): events can be counted and stand in their order, but nothing can be timed. Without that option perf script prints when each was.',
      );
    this.describe();
    this.#ordinal = 0;
  }

  protected parse(start: number, end: number): LineKind {
    const bytes = this.bytes;
    if (start === end) return line.known;
    if (bytes[start] === 0x23) {
      this.#header(decodeText(bytes, start, Math.min(end, start + 4096)));
      return line.known;
    }
    const parts = this.parts;
    if (parseEvent(bytes, start, end, parts)) {
      if (this.#processes) {
        parts.pid = parts.tid;
        parts.tid = -1;
      }
      if (!startsWith(bytes, parts.nameStart, parts.nameEnd, perfRecord)) {
        if (this.#deltas) [parts.seconds, parts.rest, parts.decimals] = [0, this.#ordinal++, 0];
        return line.event;
      }
      // perf script --show-lost-events, --show-task-events and others.
      const text = decodeText(bytes, parts.nameStart, Math.min(end, parts.nameStart + 200));
      const lost = /^PERF_RECORD_LOST(?:_SAMPLES)? lost (\d+)/.exec(text);
      if (lost !== null) this.lost(parts.cpu, Number.isSafeInteger(Number(lost[1])) ? Number(lost[1]) : undefined);
      return line.known;
    }
    return isChain(bytes, start, end) ? line.frame : line.unknown;
  }

  protected nameOf(name: string, sample: Uint8Array): string {
    if (sample.length === 0 && /\bkvm_exit$/.test(name))
      this.note(
        'Fields were not printed with the events: no reasons of exits, no vCPUs; perf script -F +trace prints them.',
      );
    return name.includes(':') || sample.length === 0 ? name : qualifiedName(name, sample).replace(/^unknown:/, '');
  }

  protected clockOf(): Clock {
    const { decimals, seconds, rest } = this.parts;
    if (this.#deltas) return { name: 'none', unit: 'none', resolution: 1 };
    // --reltime counts from the first event.
    const name = seconds === 0 && rest === 0 ? 'relative' : (this.#clock ?? 'unknown');
    return { name, unit: 'ns', resolution: decimals === 9 ? 1 : 1000 };
  }

  #header(text: string): void {
    if (text.startsWith('# captured on')) this.#clock ??= 'perf';
    const cpus = /^# nrcpus online : (\d+)/.exec(text);
    if (cpus !== null && Number(cpus[1]) <= mostCpus) this.cpus = Number(cpus[1]);
    const clock = /^# clockid: (\w+)/.exec(text)?.[1];
    if (clock !== undefined) this.#clock = clocks.get(clock) ?? clock;
  }
}

/** Events that it takes to say what their times are. */
const enoughTimes = 8;

/** Whether the times of an input's first events go back again and again, as those between events do. */
function hasDeltas(head: Uint8Array): boolean {
  const parts = new LineParts();
  let [count, back, before] = [0, 0, 0];
  holdsLine(
    head,
    (bytes, start, end) => {
      if (!parseEvent(bytes, start, end, parts) || startsWith(bytes, parts.nameStart, parts.nameEnd, perfRecord))
        return false;
      const time = parts.seconds + parts.rest / 1e9;
      if (time < before) back++;
      before = time;
      count++;
      return false;
    },
    true,
  );
  return count >= enoughTimes && back > count / 4;
}

/** Contradictions that it takes to say what the ids are. */
const enough = 2;

/** Whether the ids in an input's first lines are those of processes: one switches out as another, or is several vCPUs. */
function namesProcesses(head: Uint8Array): boolean {
  const parts = new LineParts();
  const vcpus = new Map<number, string>();
  const switched = new Map<number, string>();
  let contradictions = 0;
  return holdsLine(
    head,
    (bytes, start, end) => {
      if (!parseEvent(bytes, start, end, parts) || parts.tid < 0 || parts.pid >= 0) return false;
      const { tid } = parts;
      const text = decodeText(bytes, parts.nameStart, Math.min(end, parts.payloadStart + 200));
      // In a container the ids may be others than those that the kernel prints, but one each.
      const previous = /\bsched_switch: .*?\bprev_pid=(\d+)/.exec(text)?.[1];
      const vcpu = /\bkvm_(?:entry|exit): vcpu (\d+)/.exec(text)?.[1];
      if (tid > 0 && differs(switched, tid, previous)) contradictions++;
      if (differs(vcpus, tid, vcpu)) contradictions++;
      return contradictions >= enough;
    },
    true,
  );
}

/** Notes what an id stands for; true where it stood for something else before. */
function differs(seen: Map<number, string>, id: number, value: string | undefined): boolean {
  if (value === undefined) return false;
  const before = seen.get(id);
  seen.set(id, value);
  return before !== undefined && before !== value;
}

/** perf's names of clocks (tools/perf/util/clockid.c) and the kernel's. */
const clocks = new Map<string, string>(
  Object.entries<string>({ monotonic: 'mono', monotonic_raw: 'mono_raw', boottime: 'boot' }),
);

const headerStart = Buffer.from('# ========\n# captured on');
const perfRecord = Buffer.from('PERF_RECORD_');
const number = { value: 0 };

/** Reads one line into `parts`; false where it is no event. */
export function parseEvent(bytes: Uint8Array, start: number, end: number, parts: LineParts): boolean {
  const limit = Math.min(end, start + 200);
  // The time is the first number with six or nine decimals and a colon that stands alone; before it come the CPU and the thread.
  for (let p = start + 1; p < limit; p++) {
    const c = bytes[p] as number;
    if (c < 0x30 || c > 0x39 || bytes[p - 1] !== 0x20) continue;
    const time = parseTime(bytes, p, end, parts);
    if (time >= 0 && parts.decimals > 0 && bytes[time] === 0x3a && parseThread(bytes, start, p, parts))
      return parseFields(bytes, time + 1, end, parts);
    while (p + 1 < limit && bytes[p + 1] !== 0x20) p++;
  }
  return false;
}

/** What stands before the time: `comm tid [cpu]` or `comm pid/tid`. */
function parseThread(bytes: Uint8Array, start: number, time: number, parts: LineParts): boolean {
  let p = beforeTimeOfDay(bytes, start, skipBack(bytes, start, time));
  // -F +misc: letters for where the sample was taken, such as K or U.
  let letters = p;
  while (letters > start && isLetter(bytes[letters - 1] as number)) letters--;
  if (letters < p && p - letters <= 2 && letters - start > 1 && bytes[letters - 1] === 0x20)
    p = skipBack(bytes, start, letters);
  parts.cpu = -1;
  if (p > start && bytes[p - 1] === 0x5d) {
    const close = p - 1;
    p = digitsBack(bytes, start, close);
    if (p === close || bytes[p - 1] !== 0x5b) return false;
    parseNumber(bytes, p, close, number);
    if (number.value >= mostCpus) return false;
    parts.cpu = number.value;
    p = skipBack(bytes, start, p - 1);
  }
  p = parseId(bytes, start, p);
  if (p < 0) return false;
  parts.tid = number.value;
  parts.pid = -1;
  if (p > start && bytes[p - 1] === 0x2f) {
    p = parseId(bytes, start, p - 1);
    if (p < 0) return false;
    parts.pid = number.value;
  }
  if (p > start && bytes[p - 1] !== 0x20) return false;
  const last = skipBack(bytes, start, p);
  let comm = start;
  while (comm < last && (bytes[comm] === 0x20 || bytes[comm] === 0x09)) comm++;
  while (last - comm > 2 && bytes[comm] === 0x3e && bytes[comm + 1] === 0x20)
    for (comm += 2; comm < last && bytes[comm] === 0x20; ) comm++;
  parts.commStart = comm;
  parts.commEnd = last;
  return true;
}

/** -F +tod: `2026-11-23 07:34:13.606103` before the time. Gives where what stands before it ends. */
function beforeTimeOfDay(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < 26 || bytes[end - 1] === 0x5d) return end;
  const text = decodeText(bytes, Math.max(start, end - 30), end);
  const found = /(?:^| )\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}(?:\d{3})?$/.exec(text)?.[0];
  return found === undefined ? end : skipBack(bytes, start, end - found.length);
}

/** Reads the thread or process that ends at `end` into `number`; gives where it begins, -1 where it is none. */
function parseId(bytes: Uint8Array, start: number, end: number): number {
  const first = digitsBack(bytes, start, end);
  if (first === end || parseNumber(bytes, first, end, number) !== end) return -1;
  if (first === start || bytes[first - 1] !== 0x2d) return first;
  // perf does not know a thread that is gone: -1.
  number.value = -1;
  return first - 1;
}

/** The event's name and fields. Before the name the period may stand. */
function parseFields(bytes: Uint8Array, from: number, end: number, parts: LineParts): boolean {
  let p = from;
  while (p < end && bytes[p] === 0x20) p++;
  let name = p;
  while (p < end && bytes[p] !== 0x20) p++;
  if (isNumber(bytes, name, p)) {
    while (p < end && bytes[p] === 0x20) p++;
    name = p;
    while (p < end && bytes[p] !== 0x20) p++;
  }
  if (p === name) return false;
  parts.nameStart = name;
  if (bytes[p - 1] === 0x3a) parts.nameEnd = p - 1;
  else if (startsWith(bytes, name, p, perfRecord)) parts.nameEnd = p;
  else return false;
  if (!isName(bytes, name, parts.nameEnd)) return false;
  while (p < end && bytes[p] === 0x20) p++;
  parts.payloadStart = p;
  parts.payloadEnd = end;
  return true;
}

/** A line of a call chain: an address, or a symbol, behind a tab. */
function isChain(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] === 0x09) return true;
  let p = start;
  while (p < end && bytes[p] === 0x20) p++;
  let digits = p;
  while (digits < end && (digitValue[bytes[digits] as number] as number) < 16) digits++;
  return p - start >= 8 && digits > p && (digits === end || bytes[digits] === 0x20);
}

function isNumber(bytes: Uint8Array, start: number, end: number): boolean {
  return end > start && digitsBack(bytes, start, end) === start;
}

function isLetter(c: number): boolean {
  return (c | 0x20) >= 0x61 && (c | 0x20) <= 0x7a;
}

/** Where the spaces before `p` begin. */
function skipBack(bytes: Uint8Array, start: number, p: number): number {
  let q = p;
  while (q > start && bytes[q - 1] === 0x20) q--;
  return q;
}

/** Where the digits before `p` begin. */
function digitsBack(bytes: Uint8Array, start: number, p: number): number {
  let q = p;
  while (q > start && (bytes[q - 1] as number) >= 0x30 && (bytes[q - 1] as number) <= 0x39) q--;
  return q;
}
