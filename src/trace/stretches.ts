import { ThreadTable } from './trace.ts';

/** What a stretch is called in with: names of threads, as far as they were known where the recording was cut. */
export type KnownNames = readonly (readonly [tid: number, comm: string, pid: number])[];

/** A name that was given: where `comm` is '', that of `parent`, or what it was. */
export type NameChange = { tid: number; comm: string; pid: number; parent: number };

/** What names a stretch gave, and of which threads it took for granted what they were called before. */
export type NamesPart = { changes: readonly NameChange[]; asked: readonly number[] };

/** Names that may change in a stretch. */
const mostChanges = 1 << 16;

/** The threads of a stretch, which does not know what changed between where the recording was cut and its beginning: it notes what it is asked. */
export class StretchThreads extends ThreadTable {
  readonly #changes: NameChange[] = [];
  readonly #asked = new Set<number>();
  /** Of each thread that got a name here: the one whose name from before it has, none where it is its own. */
  readonly #heirOf = new Map<number, number | undefined>();
  #noting = false;

  /** Notes from now on what it is asked, and what it is told. */
  note(): void {
    this.#noting = true;
  }

  override get(tid: number) {
    if (this.#noting) {
      const heir = this.#heirOf.has(tid) ? this.#heirOf.get(tid) : tid;
      if (heir !== undefined) this.#asked.add(heir);
    }
    return super.get(tid);
  }

  /** Takes a change of a name. */
  change(change: NameChange): void {
    const { tid, comm, pid, parent } = change;
    if (this.#noting && this.#changes.length <= mostChanges) this.#changes.push(change);
    const from = comm !== '' ? undefined : parent >= 0 ? parent : tid;
    const heir = from === undefined ? undefined : this.#heirOf.has(from) ? this.#heirOf.get(from) : from;
    const noting = this.#noting;
    this.#noting = false;
    super.name(tid, nameAfter(this, change), pid);
    this.#noting = noting;
    this.#heirOf.set(tid, heir);
  }

  /** Undefined where too much changed. */
  part(): NamesPart | undefined {
    return this.#changes.length > mostChanges ? undefined : { changes: this.#changes, asked: [...this.#asked] };
  }
}

/** What a thread is called after a change. */
export function nameAfter(
  threads: ReadonlyMap<number, { comm: string }>,
  { tid, comm, parent }: Pick<NameChange, 'tid' | 'comm' | 'parent'>,
): string {
  if (comm !== '') return comm;
  return (threads.get(parent)?.comm || threads.get(tid)?.comm) ?? '';
}
