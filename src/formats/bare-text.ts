import type { Clock } from '../trace/clock.ts';
import { groups } from '../trace/groups.ts';
import type { Format, OpenOptions } from './format.ts';
import type { Input } from './input.ts';
import { kernelTextFit, qualifiedName } from './kernel-text.ts';
import { holdsLine, type LineKind, LineParts, line, mostCpus } from './line-parts.ts';
import { LineTrace } from './lines.ts';
import type { LineTeller } from './wrapped-text.ts';

/*
 * Kernel events as text that lacks some of what tracers print before an event: manuals, tickets and mails cut it away, `perf script -F` leaves
 * it out. What is there is read: `comm-tid`, `[CPU]`, flags, the time; at the least the event's name and its fields.
 *
 *     qemu-system-x86-1234 [001] kvm_exit: reason CPUID rip 0x7c00
 *     preempt_test 20530.456690: kvm:kvm_exit: reason VMCALL rip 0x4131a0 info 0 0 intr 0
 *     kvm:kvm_entry: vcpu 0
 */

export const bareText: Format = {
  name: 'kernel text',
  recognise(head) {
    const parts = new LineParts();
    return holdsLine(head, (bytes, start, end) => parseEvent(bytes, start, end, parts) !== undefined);
  },
  async open(input, options) {
    return new BareText(input, options);
  },
};

const lines: LineTeller = {
  event: (bytes, start, end) => (parseEvent(bytes, start, end, told) !== undefined ? told : undefined),
  own: () => false,
};
const told = new LineParts();

class BareText extends LineTrace {
  readonly format = 'kernel text';
  readonly #timed: boolean;
  #ordinal = 0;

  constructor(input: Input, options: OpenOptions) {
    super(input, options, lines);
    const parts = new LineParts();
    this.#timed = holdsLine(input.head, (bytes, start, end) => parseEvent(bytes, start, end, parts) === 'timed');
    const threads = holdsLine(
      input.head,
      (bytes, start, end) => parseEvent(bytes, start, end, parts) !== undefined && parts.tid >= 0,
    );
    this.describe();
    this.#ordinal = 0;
    if (!this.#timed)
      this.note(
        'The text has no time stamps: its events can be counted and stand in their order, but nothing can be timed.',
      );
    if (!threads)
      this.note(
        'The text does not say which threads its events are of, so that no two of them can be told to belong together; expected text as of perf script -F comm,tid,cpu,time,event,trace.',
      );
  }

  protected parse(start: number, end: number): LineKind {
    if (start === end) return line.known;
    const { parts } = this;
    const found = parseEvent(this.bytes, start, end, parts);
    if (found === undefined || (this.#timed && found !== 'timed')) return line.unknown;
    if (!this.#timed) {
      // In place of a time, which event it is.
      parts.seconds = 0;
      parts.rest = this.#ordinal++;
      parts.decimals = 0;
    }
    return line.event;
  }

  protected nameOf(name: string, sample: Uint8Array): string {
    return name.includes(':') ? name : qualifiedName(name, sample);
  }

  protected clockOf(): Clock {
    if (!this.#timed) return { name: 'none', unit: 'none', resolution: 1 };
    return { name: 'unknown', unit: 'ns', resolution: this.parts.decimals === 9 ? 1 : 1000 };
  }
}

/** The kernel's names of threads are no longer. */
const longestComm = 15;
/** Longer lines are looked at only so far. */
const longest = 400;
const names = /(?:^|\s)((?:[a-z]\w*:)?([a-z]\w+)):(?=\s|$)/g;
/** What stands before the name, with single spaces: more would make the matching slow. */
const before =
  /^[ >]*(.{0,40}?)(?:-(\d{1,7})(?![\d.])| (?:\d{1,7}\/)?(\d{1,7})(?![\d.]))? ?(?:\((?: ?\d+|-+)\))? ?(?:\[(\d{1,4})\])? ?(?:(?!\d+ )[\w.#]{4,7} )? ?(?:(\d{1,11})\.(\d{6}(?:\d{3})?):)?(?: \d+)? ?$/;

/** Reads one line into `parts`, and gives whether it has a time; undefined where it is no event. */
function parseEvent(bytes: Uint8Array, start: number, end: number, parts: LineParts): 'timed' | 'untimed' | undefined {
  const limit = Math.min(end, start + longest);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, limit - start).toString('latin1');
  for (const match of text.matchAll(names)) {
    const [, full, event] = groups<[string, string, string]>(match);
    const nameAt = (match.index ?? 0) + match[0].length - full.length - 1;
    const prefix = text.slice(0, nameAt);
    const head = before.exec(prefix.replace(/\s+/g, ' '));
    if (head === null) continue;
    const [, word = '', dashed, spaced, cpu, seconds, decimals = ''] = head;
    // perf script -F tid: a number alone, before a name with its system; in a wider column it is the period.
    const number = full !== event && dashed === undefined ? /^(?:\d{1,7}\/)?(\d{1,7})$/.exec(word)?.[1] : undefined;
    const alone = / {0,9}[\d/]+/.exec(prefix)?.[0].match(/^ {6,}\d{1,4}$/) ? undefined : number;
    const comm = number === undefined ? word : '';
    const tid = dashed ?? alone ?? (comm === '' ? undefined : spaced);
    // A word before the name alone may be prose about an event.
    // But for perf script -F comm,event,trace, which sets it out in columns.
    const inColumns = full !== event && / {2}$/.test(prefix) && comm.length <= longestComm;
    if (comm !== '' && tid === undefined && cpu === undefined && seconds === undefined && !inColumns) continue;
    let payload = start + nameAt + full.length + 1;
    while (payload < end && bytes[payload] === 0x20) payload++;
    if (!isKernelEvent(full, event, bytes, payload, end)) continue;
    parts.tid = tid === undefined ? -1 : Number(tid);
    parts.pid = -1;
    parts.cpu = cpu === undefined || Number(cpu) >= mostCpus ? -1 : Number(cpu);
    const commAt = prefix.search(/[^\s>]/);
    parts.commStart = start + Math.max(0, commAt);
    parts.commEnd = Math.max(parts.commStart, start + prefix.lastIndexOf(`${dashed === undefined ? ' ' : '-'}${tid}`));
    parts.nameStart = start + nameAt;
    parts.nameEnd = parts.nameStart + full.length;
    parts.payloadStart = payload;
    parts.payloadEnd = end;
    if (seconds === undefined) return 'untimed';
    parts.seconds = Number(seconds);
    parts.rest = Number(decimals.padEnd(9, '0'));
    parts.decimals = decimals.length;
    return 'timed';
  }
  return undefined;
}

/** Whether a name, and what follows it, are those of an event of the kernel: text may hold anything. */
function isKernelEvent(full: string, event: string, bytes: Uint8Array, payload: number, end: number): boolean {
  const fit = kernelTextFit(event, bytes, payload, end);
  if (fit !== undefined) return fit > 0;
  return full !== event || !qualifiedName(event, bytes.subarray(payload, end)).startsWith('unknown:');
}
