import type { Loss } from '../trace/loss.ts';

/** Losses remembered one by one per CPU; and where there are this many in all, as some thousand CPUs could have, fewer of each. */
const maxLosses = 4096;
const maxInAll = 1 << 16;
const maxThen = 16;

/** The stretches in which events were lost: a span that straddles one may have ended with an event that nobody saw. */
export class LossTable {
  /** Whether there was any. */
  some = false;
  #inAll = 0;
  /** By CPU (-1: any CPU), in order of their ends. */
  readonly #losses = new Map<number, Loss[]>();

  add(loss: Loss): void {
    this.some = true;
    const cpu = Math.max(loss.cpu, -1);
    let losses = this.#losses.get(cpu);
    if (losses === undefined) {
      losses = [];
      this.#losses.set(cpu, losses);
    }
    let at = losses.length;
    while (at > 0 && (losses[at - 1] as Loss).to > loss.to) at--;
    losses.splice(at, 0, loss);
    this.#inAll++;
    if (losses.length > (this.#inAll > maxInAll ? maxThen : maxLosses)) {
      const { length } = losses;
      widen(losses, cpu);
      this.#inAll -= length - losses.length;
    }
  }

  /** Whether events may have been lost between `from` and `to` on one of these CPUs (-1: it may be any). */
  straddle(from: number, to: number, cpu1: number, cpu2: number): boolean {
    if (cpu1 < 0 || cpu2 < 0) return this.#losses.values().some((losses) => within(losses, from, to));
    return (
      within(this.#losses.get(-1), from, to) ||
      within(this.#losses.get(cpu1), from, to) ||
      (cpu2 !== cpu1 && within(this.#losses.get(cpu2), from, to))
    );
  }
}

/** Makes one wide loss of the older half: it can set aside a span too many, but memory stays flat. */
function widen(losses: Loss[], cpu: number): void {
  const old = losses.splice(0, losses.length >> 1);
  const from = old.reduce((least, l) => Math.min(least, l.from), Infinity);
  losses.unshift({ from, to: (old.at(-1) as Loss).to, cpu, count: undefined });
}

function within(losses: readonly Loss[] | undefined, from: number, to: number): boolean {
  if (losses === undefined) return false;
  // The latest stand last, and hardly ever does one reach back further than the one before it.
  for (let i = losses.length - 1; i >= 0; i--) {
    const loss = losses[i] as Loss;
    if (loss.to <= from) return false;
    if (loss.from < to) return true;
  }
  return false;
}
