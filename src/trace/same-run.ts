import { largestSign, Signs } from './signs.ts';

/*
 * One run that two tools recorded, where somebody says wrongly how far their clocks are apart: nothing is the same at the same time, and as each tool
 * stamps for itself, not even the lengths of time between events are. But each thread does the same in both, in the same order, and always as far apart.
 */

/** Events of one kind and thread that follow each other and are one sign. */
const inRow = 4;
/** Signs of a file that are looked for in others; so many must be as far apart, and most of those found: to within this (ns). */
const looked = 4096;
const enough = 16;
const apart = 200_000;

class File {
  /** By kind and thread: its last events, and how many there were. */
  readonly rows = new Map<number, Int32Array>();
  readonly signs = new Signs();
  looked = 0;
  /** By file: signs found there, and how many of them as far apart. */
  readonly found: number[] = [];
  readonly votes: Map<number, number>[] = [];
}

export class SameRun {
  readonly #files: File[];

  constructor(files: number) {
    this.#files = Array.from({ length: files }, () => new File());
  }

  /** Takes an event of a file: its kind, thread, what tells it from others of its kind, and its time by the file's clock. Gives the file that holds it, too, where by now that is no accident; else -1. */
  take(file: number, name: number, tid: number, digest: number, time: number): number {
    const own = this.#files[file] as File;
    const key = name * 0x400000 + tid;
    let row = own.rows.get(key);
    if (row === undefined) {
      row = new Int32Array(inRow + 1);
      own.rows.set(key, row);
    }
    const taken = row[inRow] as number;
    row[taken % inRow] = digest;
    row[inRow] = taken + 1;
    if (taken + 1 < inRow) return -1;
    let sign = Math.imul(name + 1, 0x9e3779b1) ^ Math.imul(tid + 1, 0x85ebca6b);
    for (let k = 1; k <= inRow; k++) {
      sign = Math.imul(sign ^ (row[(taken + k) % inRow] as number), 0xc2b2ae35);
      sign ^= sign >>> 15;
    }
    sign &= largestSign;
    if (own.looked < looked) {
      own.looked++;
      for (let other = 0; other < this.#files.length; other++)
        if (other !== file && this.#votes(own, other, sign, time)) return other;
    }
    own.signs.add(sign, time);
    return -1;
  }

  /** Whether most of what another file holds, too, is as far away. */
  #votes(own: File, other: number, sign: number, time: number): boolean {
    const there = (this.#files[other] as File).signs.timeOf(sign);
    if (Number.isNaN(there)) return false;
    const found = (own.found[other] ?? 0) + 1;
    own.found[other] = found;
    const place = Math.floor((time - there) / apart);
    const votes = own.votes[other] ?? new Map<number, number>();
    own.votes[other] = votes;
    votes.set(place, (votes.get(place) ?? 0) + 1);
    const near = (votes.get(place - 1) ?? 0) + (votes.get(place) ?? 0) + (votes.get(place + 1) ?? 0);
    return near >= enough && near > found / 2;
  }
}
