import { elapsed } from '../own/elapsed.ts';
import { bytes, percent, shortDuration } from '../report/units.ts';
import type { Trace } from '../trace/trace.ts';
import { eraseStatus, showStatus } from './say.ts';

/** Input that takes longer than this gets a progress bar, redrawn that often; both in ms. */
const showAfter = 1000;
const interval = 100;

/** A progress bar on standard error, where that is a terminal. */
export class Progress {
  readonly #trace: Trace;
  readonly #began = elapsed();
  #timer: NodeJS.Timeout | undefined;
  #drawn = false;

  constructor(trace: Trace, shows: boolean) {
    this.#trace = trace;
    // By the clock, not by the events: a file may take long before its first, or have none.
    if (shows) this.#timer = setTimeout(() => this.#start(), showAfter).unref();
  }

  /** Asks now what standard error is, as that takes longer than to read a small recording. */
  #start(): void {
    if (process.stderr.isTTY !== true) return;
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), interval).unref();
  }

  #draw(): void {
    const now = elapsed();
    this.#drawn = true;
    const { read, size } = this.#trace.progress();
    const name = this.#trace.file;
    const took = now - this.#began;
    let text = `${name}: ${bytes(read)}`;
    if (size !== undefined && size > 0) {
      const share = Math.min(1, read / size);
      const cells = 24;
      const full = Math.round(share * cells);
      const rest =
        share > 0.02 ? `, ${shortDuration(Math.max(1e9, Math.round((took / share - took) / 1000) * 1e9))} left` : '';
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

  /** Makes room for other output. */
  wipe(): void {
    if (this.#drawn) eraseStatus();
    this.#drawn = false;
  }

  end(): void {
    clearInterval(this.#timer);
    this.wipe();
  }
}
