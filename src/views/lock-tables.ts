import type { LockKeysSeam } from '../spans/lock-keys.ts';
import type { LockSpans } from '../spans/lock-spans.ts';
import { addRuns, type RunParts } from '../spans/run-history.ts';
import { IdTable } from '../trace/id-table.ts';

/** Mutexes times sites times threads told apart; beyond, sites are not. */
const maxGroups = 1 << 14;
/** Who waited, times who held meanwhile and where it was, told apart; beyond, only who waited is. */
const maxBehind = 1 << 16;

/** In place of a site: one of those that are not told apart. */
export const otherSites = -2;
/** In place of a holder: one of those that are not told apart. */
const otherHolders = -1;

/** By group: mutex, thread and site. */
export type GroupsPart = readonly (readonly [mutex: number, thread: number, site: number])[];
/** Entries of `BehindTable`. */
export type BehindPart = readonly {
  key: readonly [mutex: number, waiter: number, holder: number, site: number, inner: number];
  total: number;
  waits: number;
  ran: RunParts | undefined;
}[];

/** Groups of waits and holds: of one mutex, thread and call site each. */
export class GroupTable {
  readonly #places = new IdTable();
  readonly #groups = new IdTable();

  /** The group of each span. */
  find({ count, mutex, site, thread }: LockSpans, out: Int32Array): void {
    for (let k = 0; k < count; k++) out[k] = this.#find(mutex[k] as number, thread[k] as number, site[k] as number);
  }

  #find(mutex: number, thread: number, site: number): number {
    const place = this.#places.find(thread, site);
    const known = place < 0 ? -1 : this.#groups.find(mutex, place);
    if (known >= 0) return known;
    // There are at most as many more as pairs of a thread and a mutex.
    const kept = this.#groups.size < maxGroups ? site : otherSites;
    return this.#groups.id(mutex, this.#places.id(thread, kept));
  }

  part(): GroupsPart {
    return [...this.all()].map((group) => [this.mutex(group), this.thread(group), this.site(group)]);
  }

  accepts(part: GroupsPart): boolean {
    return this.#groups.size + part.length < maxGroups;
  }

  /** Takes over the groups of another; gives what each is here. */
  join(part: GroupsPart, of: LockKeysSeam): number[] {
    return part.map(([mutex, thread, site]) =>
      this.#find(of.mutex[mutex] as number, of.thread[thread] as number, of.site[site] ?? site),
    );
  }

  *all(): Iterable<number> {
    for (let group = 0; group < this.#groups.size; group++) yield group;
  }

  mutex(group: number): number {
    return this.#groups.high(group);
  }

  /** Index of the site, -1 where it is unknown, `otherSites`. */
  site(group: number): number {
    return this.#places.low(this.#groups.low(group)) | 0;
  }

  thread(group: number): number {
    return this.#places.high(this.#groups.low(group));
  }
}

/** Time that threads waited for a mutex while another held it, by all of these. */
export class BehindTable {
  readonly #waiters = new IdTable();
  readonly #holders = new IdTable();
  readonly #places = new IdTable();
  readonly #entries = new IdTable();
  readonly #total: number[] = [];
  readonly #waits: number[] = [];
  readonly #ran: (RunParts | undefined)[] = [];

  add(
    mutex: number,
    waiter: number,
    holder: number,
    site: number,
    inner: number,
    duration: number,
    ran: RunParts | undefined,
    waits = 1,
  ): number {
    const who = this.#waiters.id(mutex, waiter);
    const full = this.#entries.size >= maxBehind;
    let entry = full ? this.#find(who, holder, site, inner) : this.#id(who, holder, site, inner);
    if (entry < 0) entry = this.#id(who, otherHolders, -1, -1);
    this.#ran[entry] = addRuns(this.#ran[entry], ran);
    this.#total[entry] = (this.#total[entry] ?? 0) + duration;
    this.#waits[entry] = (this.#waits[entry] ?? 0) + waits;
    return entry;
  }

  part(): BehindPart {
    return Array.from({ length: this.#entries.size }, (_, entry) => {
      const mutex = this.#waiters.high(this.#entries.high(entry));
      const key = [mutex, this.waiter(entry), this.holder(entry), this.site(entry), this.inner(entry)] as const;
      return { key, total: this.total(entry), waits: this.waits(entry), ran: this.ran(entry) };
    });
  }

  accepts(part: BehindPart): boolean {
    return this.#entries.size + part.length < maxBehind;
  }

  /** Takes over the entries of another; gives what each is here. */
  join(part: BehindPart, of: LockKeysSeam): number[] {
    const site = (id: number) => of.site[id] ?? id;
    return part.map(({ key, total, waits, ran }) => {
      const [mutex, waiter, holder, at, inner] = key;
      const [m, w, h] = [of.mutex[mutex], of.thread[waiter], of.thread[holder]] as [number, number, number];
      return this.add(m, w, h, site(at), site(inner), total, ran, waits);
    });
  }

  /** More of what the holder did in the time of an entry. */
  addRan(entry: number, ran: RunParts | undefined): void {
    this.#ran[entry] = addRuns(this.#ran[entry], ran);
  }

  byMutex(): Map<number, number[]> {
    const all = new Map<number, number[]>();
    for (let entry = 0; entry < this.#entries.size; entry++) {
      const mutex = this.#waiters.high(this.#entries.high(entry));
      const own = all.get(mutex);
      if (own === undefined) all.set(mutex, [entry]);
      else own.push(entry);
    }
    return all;
  }

  waiter(entry: number): number {
    return this.#waiters.low(this.#entries.high(entry));
  }

  /** Index of the thread; -1 for those that are not told apart. */
  holder(entry: number): number {
    return this.#holders.high(this.#entries.low(entry)) | 0;
  }

  site(entry: number): number {
    return this.#places.high(this.#holders.low(this.#entries.low(entry))) | 0;
  }

  inner(entry: number): number {
    return this.#places.low(this.#holders.low(this.#entries.low(entry))) | 0;
  }

  total(entry: number): number {
    return this.#total[entry] as number;
  }

  waits(entry: number): number {
    return this.#waits[entry] as number;
  }

  ran(entry: number): RunParts | undefined {
    return this.#ran[entry];
  }

  #id(who: number, holder: number, site: number, inner: number): number {
    return this.#entries.id(who, this.#holders.id(holder, this.#places.id(site, inner)));
  }

  #find(who: number, holder: number, site: number, inner: number): number {
    const place = this.#places.find(site, inner);
    const by = place < 0 ? -1 : this.#holders.find(holder, place);
    return by < 0 ? -1 : this.#entries.find(who, by);
  }
}
