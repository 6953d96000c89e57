import type { EventBatch } from './batch.ts';
import type { EventType, FieldReader } from './event-type.ts';

/*
 * Two recordings of one kind of clock can overlap though they are of two machines, or of two boots of one. What gives them away: one thread
 * runs on a CPU at a time, and sched_switch tells which.
 */

/** So many events are judged; of one machine hardly any contradicts, as two tracers stamp one switch a little apart. */
const enough = 64;
const nobody = -1;

/** What one file tells of who runs where. */
class Running {
  /** By CPU: the thread that runs there. */
  readonly tid: number[] = [];
  /** Whether it tells of switches at all, and goes on. */
  switches = false;
}

/** Looks whether files can be of one machine. */
export class OneMachine {
  readonly #files: Running[];
  /** Events judged, and those that contradict, by the two files' numbers. */
  readonly #judged: number[];
  readonly #contradict: number[];
  /** By type id: which thread comes to run; undefined where nobody was asked. */
  readonly #next: (FieldReader | null | undefined)[] = [];
  #open: number;

  constructor(files: number) {
    this.#files = Array.from({ length: files }, () => new Running());
    this.#judged = new Array<number>(files * files).fill(0);
    this.#contradict = new Array<number>(files * files).fill(0);
    this.#open = (files * (files - 1)) / 2;
  }

  /** Takes event `i` of a batch of a file, in order of time; gives another file that tells of other threads on the same CPUs; else -1. */
  take(file: number, type: EventType, b: EventBatch, i: number): number {
    if (this.#open === 0) return -1;
    const cpu = b.cpu[i] as number;
    const tid = b.tid[i] as number;
    if (cpu < 0 || tid < 0) return -1;
    const own = this.#files[file] as Running;
    if (own.switches) {
      for (let other = 0; other < this.#files.length; other++) {
        const its = this.#files[other] as Running;
        const running = its.tid[cpu] ?? nobody;
        if (other === file || running === nobody) continue;
        if (this.#judge(Math.min(file, other) * this.#files.length + Math.max(file, other), running !== tid))
          return other;
      }
    }
    let next = this.#next[type.id];
    if (next === undefined) {
      next = type.name === 'sched:sched_switch' ? (type.reader('next_pid') ?? null) : null;
      this.#next[type.id] = next;
    }
    if (next === null) return -1;
    own.switches = true;
    own.tid[cpu] = next.number(b, i);
    return -1;
  }

  /** What a file told is not so any more: it lost events, or is over. */
  forget(file: number): void {
    (this.#files[file] as Running).tid.length = 0;
  }

  #judge(pair: number, contradicts: boolean): boolean {
    const judged = this.#judged[pair] as number;
    if (judged >= enough) return false;
    this.#judged[pair] = judged + 1;
    if (contradicts) this.#contradict[pair] = (this.#contradict[pair] as number) + 1;
    if (judged + 1 < enough) return false;
    this.#open--;
    return (this.#contradict[pair] as number) * 2 > enough;
  }
}
