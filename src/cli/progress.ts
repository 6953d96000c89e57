import { bytes, percent, shortDuration } from '../report/units.ts';
import type { Trace } from '../trace/trace.ts';
import { eraseStatus, showStatus } from './say.ts';

/** Input that takes longer than this gets a progress bar, redrawn that often; both in ms. */
const patience = 1000;
const interval = 100;

/** A progress bar on standard error, where that is a terminal. */
export class Progress {
  readonly #trace: Trace;
  readonly #began = performance.now();
  readonly #shows: boolean;
  #drawn = 0;

  constructor(trace: Trace, shows: boolean) {
    this.#trace = trace;
    this.#shows = shows && process.stderr.isTTY === true;
  }

  /** Called with every batch. */
  tick(): void {
    if (!this.#shows) return;
    const now = performance.now();
    if (now - this.#began < patience || now - this.#drawn < interval) return;
    this.#drawn = now;
    const { read, size } = this.#trace.progress();
    const name = this.#trace.file;
    const elapsed = now - this.#began;
    let text = `${name}: ${bytes(read)}`;
    if (size !== undefined && size > 0) {
      const share = Math.min(1, read / size);
      const cells = 24;
      const full = Math.round(share * cells);
      const rest =
        share > 0.02
          ? `, ${shortDuration(Math.max(1e9, Math.round((elapsed / share - elapsed) / 1000) * 1e9))} left`
          : '';
      text = `[${'#'.repeat(full)}${'.'.repeat(cells - full)}] ${percent(share)} of ${name}${rest}`;
    }
    showStatus(text);
  }

  /** How far reading came, for a sentence. */
  where(): string {
    const { read, size } = this.#trace.progress();
    return size === undefined || size === 0
      ? bytes(read)
      : `${percent(Math.min(1, read / size))} of ${this.#trace.file}`;
  }

  end(): void {
    if (this.#drawn > 0) eraseStatus();
  }
}
