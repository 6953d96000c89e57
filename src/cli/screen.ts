/** The whole terminal, drawn again and again; left as it was found, whatever ends the program. */
export class Screen {
  readonly #redraw: () => void;
  readonly #key: (key: string) => void;
  #open = false;
  readonly #onData = (data: Buffer) => {
    const text = data.toString('latin1');
    // Ctrl-Z, which a raw terminal hands to us.
    if (text === '\x1a') this.#suspend();
    // An escape sequence (an arrow, say) is no key of ours; Escape itself is.
    else if (text.length === 1 || text[0] !== '\x1b') for (const key of text) this.#key(key);
  };
  readonly #onExit = () => this.#leave();
  readonly #onResize = () => this.#redraw();
  readonly #onContinue = () => {
    this.#enter();
    this.#redraw();
  };

  /** Takes the terminal. `key` is called with each key, `redraw` when what was drawn is gone. */
  constructor(key: (key: string) => void, redraw: () => void) {
    this.#key = key;
    this.#redraw = redraw;
    process.on('exit', this.#onExit);
    process.on('SIGCONT', this.#onContinue);
    process.stdout.on('resize', this.#onResize);
    process.stdin.on('data', this.#onData);
    this.#enter();
  }

  /** Shows lines from the top; the rest of the screen is empty. */
  draw(lines: readonly string[]): void {
    if (!this.#open) return;
    // In place and at once, line by line: what does not change does not flicker.
    const text = lines.map((line) => `${line}\x1b[K`).join('\r\n');
    process.stdout.write(`\x1b[?2026h\x1b[H${text}\x1b[J\x1b[?2026l`);
  }

  /** Gives the terminal back. Safe to call twice. */
  close(): void {
    this.#leave();
    process.removeListener('exit', this.#onExit);
    process.removeListener('SIGCONT', this.#onContinue);
    process.stdout.removeListener('resize', this.#onResize);
    process.stdin.removeListener('data', this.#onData);
    process.stdin.pause();
  }

  #enter(): void {
    if (this.#open) return;
    this.#open = true;
    process.stdin.setRawMode(true);
    process.stdin.resume();
    // The alternate screen, without a cursor and without wrapping.
    process.stdout.write('\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J');
  }

  #leave(): void {
    if (!this.#open) return;
    this.#open = false;
    process.stdout.write('\x1b[?7h\x1b[?25h\x1b[?1049l');
    process.stdin.setRawMode(false);
  }

  #suspend(): void {
    this.#leave();
    process.kill(process.pid, 'SIGSTOP');
  }
}
