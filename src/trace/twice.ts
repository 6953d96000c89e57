import type { EventBatch } from './batch.ts';
import type { EventType, FieldReader } from './event-type.ts';
import { SameRun } from './same-run.ts';
import { largestSign, Signs } from './signs.ts';

/*
 * One run recorded by two tools, or a copy of a recording, would be counted twice. The same event in two files has the same name, thread, CPU
 * and fields, and a time that differs by no more than the two tracers take one after the other. Where somebody says that a file's clock is another
 * one, a copy's events stand at other times: what follows what, and how long after it, stays the same.
 */

/** How far apart (ns) two tracers stamp one hit of a tracepoint, on slow machines too. */
const slack = 100_000;
/** Events remembered of each file, looked at while both are there, and that must be the same before it is said in the midst. */
const remembered = 64;
const looked = 4096;
const enough = 16;

/** Fields that tell events of one type apart. */
const telling = ['exit_reason', 'guest_rip', 'prev_pid', 'next_pid', 'vq', 'elem', 'gpa', 'vec'];

/** Events in a row that are one sign. */
const inRow = 4;

/** The last events of one file. */
class Recent {
  readonly time = new Float64Array(remembered).fill(Number.NEGATIVE_INFINITY);
  readonly name = new Int32Array(remembered);
  readonly tid = new Int32Array(remembered);
  readonly pid = new Int32Array(remembered);
  readonly cpu = new Int32Array(remembered);
  /** Which of the fields it has, and a number made of them. */
  readonly fields = new Int32Array(remembered);
  readonly digest = new Int32Array(remembered);
  readonly used = new Uint8Array(remembered);
  next = 0;
  /** Whether it has begun, and ended; and its events while others were there. */
  begun = false;
  ended = false;
  seen = 0;
  /** Where times may be shifted: when the last event was, by the file's own clock; what the last ones were; and signs of all so far. */
  last = Number.NaN;
  readonly row = new Int32Array(inRow);
  taken = 0;
  readonly signs = new Signs();
  /** Signs looked for in the others, and by file how many were there. */
  looked = 0;
  readonly found: number[] = [];
}

type Reading = { name: number; mask: number; readers: FieldReader[] };

/** Looks whether files hold the same events. */
export class Twice {
  readonly #files: Recent[];
  /** Same events, by the two files' numbers. */
  readonly #same: number[];
  readonly #names = new Map<string, number>();
  readonly #types: (Reading | undefined)[] = [];
  /** Events that are the same though stamped at two times are looked for only where times are ns. */
  readonly #slack: number;
  readonly #shifted: boolean;
  readonly #sameRun: SameRun | undefined;
  #done = false;

  /** `shifted`: whether events of one file may stand at other times than those of another. */
  constructor(files: number, inNs: boolean, shifted = false) {
    this.#shifted = shifted;
    this.#sameRun = shifted ? new SameRun(files) : undefined;
    this.#files = Array.from({ length: files }, () => new Recent());
    this.#same = new Array<number>(files * files).fill(0);
    this.#slack = inNs ? slack : 0;
  }

  /** Takes event `i` of a batch of a file, at `time` of the timeline, in order; gives the other file that holds it, too, where by now that is no accident; else -1. */
  take(file: number, type: EventType, b: EventBatch, i: number, time: number): number {
    if (this.#done) return -1;
    const own = this.#files[file] as Recent;
    own.begun = true;
    const { name, mask, readers } = this.#types[type.id] ?? this.#learn(type);
    let digest = 0;
    for (const reader of readers) digest = (Math.imul(digest, 31) + reader.low(b, i)) | 0;
    if (this.#shifted) {
      const other = this.#follow(file, own, name ^ digest, b, i);
      if (other >= 0) return other;
    }
    if (this.#sameRun !== undefined && readers.length > 0 && (b.tid[i] as number) >= 0) {
      const other = this.#sameRun.take(file, name, b.tid[i] as number, digest, b.time[i] as number);
      if (other >= 0) return other;
    }
    const [tid, pid, cpu] = [b.tid[i] as number, b.pid[i] as number, b.cpu[i] as number];
    // Where no CPU and thread is known, only the very same time tells.
    const near = tid >= 0 && cpu >= 0 ? this.#slack : 0;
    let among = false;
    for (let other = 0; other < this.#files.length; other++) {
      const its = this.#files[other] as Recent;
      if (other === file || !its.begun || its.ended) continue;
      among = true;
      for (let k = 1; k <= remembered; k++) {
        const at = (its.next + remembered - k) % remembered;
        if (!((its.time[at] as number) >= time - near)) break;
        if (its.used[at] === 1 || its.name[at] !== name || its.tid[at] !== tid || its.cpu[at] !== cpu) continue;
        if (tid < 0 && its.pid[at] !== pid) continue;
        if (its.fields[at] === mask && its.digest[at] !== digest) continue;
        its.used[at] = 1;
        const pair = Math.min(file, other) * this.#files.length + Math.max(file, other);
        this.#same[pair] = (this.#same[pair] as number) + 1;
        if ((this.#same[pair] as number) >= enough && this.#most(pair, own, its)) return other;
        break;
      }
    }
    if (among && ++own.seen >= looked && this.#files.every((one) => one.seen >= looked || one.ended)) this.#done = true;
    const at = own.next;
    own.next = (at + 1) % remembered;
    own.time[at] = time;
    own.name[at] = name;
    own.tid[at] = tid;
    own.pid[at] = pid;
    own.cpu[at] = cpu;
    own.fields[at] = mask;
    own.digest[at] = digest;
    own.used[at] = 0;
    return -1;
  }

  /** Takes an event by what it follows; gives the other file in which most of so many do the same. */
  #follow(file: number, own: Recent, what: number, b: EventBatch, i: number): number {
    const time = b.time[i] as number;
    const mixed = Math.imul(what ^ Math.imul(b.tid[i] as number, 0x9e3779b1), 0x85ebca6b) ^ ((time - own.last) | 0);
    own.last = time;
    const { row } = own;
    row[own.taken++ % inRow] = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2ae35);
    if (own.taken <= inRow) return -1;
    let sign = 0;
    for (let k = 0; k < inRow; k++) sign = (Math.imul(sign, 31) + (row[(own.taken + k) % inRow] as number)) | 0;
    sign = (sign ^ (sign >>> 16)) & largestSign;
    if (own.looked < looked) {
      own.looked++;
      for (let other = 0; other < this.#files.length; other++) {
        const its = this.#files[other] as Recent;
        if (other === file || !its.signs.has(sign)) continue;
        const found = (own.found[other] ?? 0) + 1;
        own.found[other] = found;
        // Of a long file a part of the signs is kept.
        if (found >= enough && found > (own.looked * its.signs.share) / 2) return other;
      }
    }
    own.signs.add(sign, time);
    return -1;
  }

  /** Whether it may still turn out that two files hold the same events. */
  get isOpen(): boolean {
    if (this.#done) return false;
    const open = this.#files.filter(({ ended }) => !ended);
    // What is over was compared with all that was there meanwhile; shifted, it is with what comes.
    if (this.#shifted && open.some((one) => one.looked < looked)) return true;
    return open.length > 1 && open.some(({ seen }) => seen < looked);
  }

  /** A file has no more events; gives the other that holds most of the same ones, else -1: of short files there are few to tell by. */
  end(file: number): number {
    const own = this.#files[file] as Recent;
    if (own.ended) return -1;
    own.ended = true;
    return this.#files.findIndex((its, other) => {
      const pair = Math.min(file, other) * this.#files.length + Math.max(file, other);
      return other !== file && (this.#same[pair] as number) > 0 && this.#most(pair, own, its);
    });
  }

  #most(pair: number, a: Recent, b: Recent): boolean {
    // The first of the one file came before the other had begun.
    return (this.#same[pair] as number) * 2 > Math.min(a.seen, b.seen);
  }

  #learn(type: EventType): Reading {
    let name = this.#names.get(type.name);
    if (name === undefined) {
      name = this.#names.size;
      this.#names.set(type.name, name);
    }
    let mask = 0;
    const readers: FieldReader[] = [];
    telling.forEach((field, n) => {
      const reader = type.reader(field);
      if (reader?.kind !== 'int') return;
      mask |= 1 << n;
      readers.push(reader);
    });
    const reading = { name, mask, readers };
    this.#types[type.id] = reading;
    return reading;
  }
}
